"""Session descriptions from other peers: which are used, and which are not."""

import pytest

from peer.edge.sdp import CANDIDATE_LIMIT, SDP_LIMIT, check_sdp
from peer.errors import Malformed, RemoteError, TooLarge

CANDIDATE = "a=candidate:f957a2332b17 1 udp 2130706431 192.0.2.2 43304 typ host"
GOOD = f"""\
v=0
o=- 4004329135 4004329135 IN IP4 0.0.0.0
s=-
t=0 0
a=group:BUNDLE 0
m=application 43304 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 192.0.2.2
a=mid:0
a=sctp-port:5000
a=max-message-size:262144
{CANDIDATE}
a=candidate:d0bc 1 UDP 2130706431 fd00::2 39143 typ relay raddr 0.0.0.0 rport 9
a=candidate:d0bd 1 udp 2130706431 4f1c.local 39143 typ host
a=end-of-candidates
a=ice-ufrag:eUB1
a=ice-pwd:k0HlwnGvNnH5qHdqEQQ2d6
a=fingerprint:sha-256 {":".join(["9F"] * 32)}
a=setup:actpass
"""


def without(start: str) -> str:
    return "".join(line + "\n" for line in GOOD.splitlines() if not line.startswith(start))


def test_what_the_library_writes_is_accepted_with_either_line_end() -> None:
    check_sdp(GOOD)
    check_sdp(GOOD.replace("\n", "\r\n"))
    check_sdp(GOOD.rstrip("\n"))


def test_a_description_without_candidates_is_one() -> None:
    check_sdp(without("a=candidate"))


@pytest.mark.parametrize(
    "start", ["m=", "a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=sctp-port", "a=setup", "v=0"]
)
def test_what_is_needed_must_be_there(start: str) -> None:
    with pytest.raises(Malformed):
        check_sdp(without(start))


@pytest.mark.parametrize("start", ["m=", "a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"])
def test_what_counts_once_may_not_be_there_twice(start: str) -> None:
    again = next(line for line in GOOD.splitlines() if line.startswith(start))
    with pytest.raises(Malformed):
        check_sdp(GOOD + again + "\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("m=application 43304 UDP/DTLS/SCTP webrtc-datachannel", "m=audio 9 UDP/TLS/RTP/SAVPF 0"),
        ("9F:9F", "9F"),
        ("sha-256", "md5"),
        ("a=ice-pwd:k0", "a=ice-pwd:"),
        ("eUB1", "e B1"),
        ("192.0.2.2 43304 typ", "evil.example 43304 typ"),
        ("192.0.2.2 43304 typ", "192.0.2.2 0 typ"),
        ("192.0.2.2 43304 typ", "192.0.2.2 65536 typ"),
        ("1 udp 2130706431 192", "2 udp 2130706431 192"),
        ("typ host\n", "typ magic\n"),
        ("s=-", "s=\0"),
        ("s=-", "s=é"),
        ("s=-", "hello"),
        ("s=-", ""),
    ],
)
def test_what_is_there_must_be_well_formed(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(Malformed):
        check_sdp(GOOD.replace(old, new, 1))


def test_nothing_is_no_description() -> None:
    with pytest.raises(Malformed):
        check_sdp("")


def test_there_are_limits() -> None:
    check_sdp(without("a=candidate") + f"{CANDIDATE}\n" * CANDIDATE_LIMIT)
    with pytest.raises(TooLarge, match="the number of candidates is 65"):
        check_sdp(without("a=candidate") + f"{CANDIDATE}\n" * (CANDIDATE_LIMIT + 1))
    with pytest.raises(TooLarge, match="a session description is"):
        check_sdp(GOOD + "a=x\n" * SDP_LIMIT)
    with pytest.raises(RemoteError):
        check_sdp("v=0\n" * 4000)
