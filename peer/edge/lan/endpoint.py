"""How people write where a member is: `HOST:PORT`."""

from urllib.parse import urlsplit

from peer.core.candidates import Endpoint
from peer.errors import UsageError

__all__ = ["parse_endpoint"]


def parse_endpoint(text: str) -> Endpoint:
    """Read `192.168.1.20:47801`, `[fe80::1%eth0]:47801` or `anna.example.org:47801`.

    Raises:
        UsageError: it is none of these.
    """
    try:
        parts = urlsplit(f"//{text.strip()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.netloc != text.strip() or "@" in text:
        raise UsageError(
            f"{text!r} does not say where somebody is: write HOST:PORT, as in 192.168.1.20:47801; "
            "`weft status` on the other side shows it"
        )
    return Endpoint(host, port)
