"""What a session description (SDP, RFC 8866) from another peer must look like before it is used.

The WebRTC library takes almost anything, so that a description without a fingerprint only shows as a path
that never opens; and each candidate in it makes us send packets to the address it names.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from peer.errors import Malformed, TooLarge

__all__ = ["CANDIDATE_LIMIT", "SDP_LIMIT", "check_candidates", "check_sdp"]

SDP_LIMIT: Final = 16 * 1024
"""Bytes; sixty-four candidates and three fingerprints need about half."""

CANDIDATE_LIMIT: Final = 64
"""Addresses of one machine: far above what real ones have, and a bound on the packets we send for it."""

_LINE: Final = re.compile(r"[a-z]=[\x20-\x7e]*")
_DATA_SECTION: Final = re.compile(r"m=application \d{1,5} UDP/DTLS/SCTP webrtc-datachannel")
_FINGERPRINT: Final = re.compile(r"a=fingerprint:sha-256 [0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}")
_CANDIDATE: Final = re.compile(
    r"a=candidate:[A-Za-z0-9+/]{1,32} 1 (udp|tcp) \d{1,10} (?P<host>\S{1,64}) (?P<port>\d{1,5}) typ "
    r"(host|srflx|prflx|relay)( .*)?",
    re.IGNORECASE,
)
_ONCE: Final = (
    ("an ICE user name", re.compile(r"a=ice-ufrag:[A-Za-z0-9+/]{4,256}")),
    ("an ICE password", re.compile(r"a=ice-pwd:[A-Za-z0-9+/]{22,256}")),
    ("a SHA-256 fingerprint", _FINGERPRINT),
    ("an SCTP port", re.compile(r"a=sctp-port:\d{1,5}")),
    ("a DTLS role", re.compile(r"a=setup:(actpass|active|passive)")),
)
"""What must be there exactly once; attributes of RFC 8839, 8122, 8841 and 4145."""


def check_sdp(text: str) -> None:
    """Make sure that *text* describes one data channel transport, and nothing else.

    Raises:
        TooLarge: more bytes or candidates than anybody needs.
        Malformed: something is missing, doubled, or not as the RFCs have it.
    """
    if len(text) > SDP_LIMIT:
        raise TooLarge("a session description", len(text), SDP_LIMIT)
    lines = text.split("\r\n") if "\r\n" in text else text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    if not lines or lines[0] != "v=0" or not all(map(_LINE.fullmatch, lines)):
        raise Malformed("a session description is not made of SDP lines")
    sections = [line for line in lines if line.startswith("m=")]
    if len(sections) != 1 or not _DATA_SECTION.fullmatch(sections[0]):
        raise Malformed("a session description is not for exactly one data channel transport")
    _check_attributes(lines)
    check_candidates([line for line in lines if line.startswith("a=candidate:")])


def _check_attributes(lines: Sequence[str]) -> None:
    for name, pattern in _ONCE:
        # The start of the pattern is literal up to the colon, so a broken attribute counts as there.
        found = sum(1 for line in lines if pattern.fullmatch(line))
        if found != 1:
            raise Malformed(f"a session description has {name} {found} times instead of once")


def check_candidates(candidates: Sequence[str]) -> None:
    """Make sure that each of *candidates* is an SDP line that names one address.

    Raises:
        TooLarge: there are more than anybody needs.
        Malformed: one is not as RFC 8839 section 5.1 has it.
    """
    if len(candidates) > CANDIDATE_LIMIT:
        raise TooLarge("the number of candidates", len(candidates), CANDIDATE_LIMIT)
    for line in candidates:
        match = _CANDIDATE.fullmatch(line)
        if not match or not 0 < int(match["port"]) < 65536 or not _is_host(match["host"]):
            raise Malformed(f"a session description has a candidate that cannot be read: {line[:80]}")


def _is_host(text: str) -> bool:
    # Browsers hide their addresses behind multicast DNS names.
    if text.endswith(".local"):
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
