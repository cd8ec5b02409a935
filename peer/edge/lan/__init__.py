"""Finding each other on a local network: everything that touches its interfaces.

`service` joins the parts: `interfaces` says where, `beacon` and `mdns` announce and listen, `hosting` is our
own room server, `visits` are our connections to those of others.  What to do is decided in
`peer.core.candidates`.
"""
