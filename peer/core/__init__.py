"""The protocol between peers, decided without any I/O.

A peer enters a room and hears who is there (`greeting.py`).  With each of them it opens a sealed link,
on which both prove that they hold the session's secret before either says who it is, and show
certificates that lead to the session's owner (`certificates.py`).  The link begins on the relay and moves
to a direct path when one opens (`link.py`, `dialing.py`, `connections.py`); frames travel in pieces with
bounded windows (`pieces.py`, `frames.py`).

Both sides list digests of their documents and ask for what differs (`sync.py`).  From then on every
edit goes out within a tick, and heartbeats carry one digest of everything, so that nothing stays
different unnoticed.  What comes from a peer passes a guard before it reaches the CRDT engine (`guard.py`,
`document.py`).  A folder is the documents seen through its index (`layout.py`), kept equal to the disk by
`files.py` and `shadows.py`.

`session.py` joins the parts: `handle(event, now) -> actions`.  What can happen is in `events.py`, what can
be ordered in `actions.py`.  Nothing here opens sockets, reads clocks, draws random numbers or logs.
"""

__all__: list[str] = []
