"""How much of what a data channel was given is not acknowledged yet by the SCTP of the other side.

Every packet with data is answered by SCTP itself (SACK, RFC 9260 section 3.3.4), so whether a path still
carries anything costs no message of ours.  aiortc keeps what is not acknowledged in three queues, one behind
the other, which nobody else may look at; with a version that has others nothing counts as being under way,
and a path that has died is noticed by its silence, later.
"""

from itertools import dropwhile
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

__all__ = ["under_way"]

_LAST: Final = 0x01
"""Flag of the chunk that ends a message (RFC 9260 section 3.3.1)."""


def under_way(channel: "RTCDataChannel | None") -> int:
    """Messages of the ordered *channel* from the first that is not wholly acknowledged; of none, none."""
    if channel is None:
        return 0
    sctp: Any = channel.transport
    try:
        ours = [c for c in (*sctp._sent_queue, *sctp._outbound_queue) if c.stream_id == channel.id]
        waiting = dropwhile(lambda chunk: chunk._acked, ours)
        begun: int = sum(chunk.flags & _LAST for chunk in waiting)
        return begun + sum(each is channel for each, *_ in sctp._data_channel_queue)
    except AttributeError:
        return 0
