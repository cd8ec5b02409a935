"""Shorter ways through aiortc for one open connection; all of them can be left out.

A message costs aiortc two tasks, an exception and a queue on each side, which is most of what a key stroke
takes.  What is replaced here are methods of single objects, never of classes, and only if the code that they
stand in for is, letter by letter, the one that this was written against (`ORIGINALS`): with any other version
everything goes aiortc's own way, a little slower.

1.  `_flush_at_once`: a message leaves within `send`, instead of in a task of the next turn.
2.  `_sort_by_first_byte`: DTLS is told from STUN by its first byte (RFC 7983), instead of by trying to read
    it as STUN and catching the error.
3.  `_straight_to_sctp`: a datagram is decrypted and taken by SCTP where it arrives, instead of waiting in a
    queue for a task.

Besides, `begin_sooner` has a connection that loses a packet while it opens wait one second, not three.

That nothing overtakes anything: none of these coroutines ever waits, since a datagram is handed to the socket
or refused at once; and as long as something is in aiortc's own queue, everything goes through it.
"""

import asyncio
import hashlib
import inspect
import types
from collections.abc import Coroutine, Generator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from OpenSSL import SSL

if TYPE_CHECKING:
    from aioice import Connection
    from aiortc import RTCPeerConnection

__all__ = ["ORIGINALS", "begin_sooner", "is_known", "take"]

ORIGINALS: Final = {
    "RTCSctpTransport._data_channel_send": "bff23b8d60ecb624",
    "RTCSctpTransport._data_channel_flush": "d5f055f33db1abff",
    "RTCDtlsTransport._recv_next": "998076720c05aa13",
    "RTCDtlsTransport._write_ssl": "6573c0237063bdf0",
    "StunProtocol.datagram_received": "ff4c8b910d45fb3a",
    "Connection.data_received": "5631b17fab717d6b",
    "Connection.recvfrom": "676acc01e4a9a9da",
}
"""The beginning of SHA-256 of the source of each method: aiortc 1.16.0 and aioice 0.13.0."""

_RTO_INITIAL: Final = 1.0
"""Seconds until SCTP sends again what gets lost before a round trip is known (RFC 9260 section 16); aiortc
waits 3, as RFC 4960 had it."""
_DATAGRAM: Final = 1500
"""Bytes that aiortc reads at once from DTLS."""
_BINARY: Final = 53
"""Payload protocol of a message of bytes (RFC 8831 section 8)."""
_NO_RECORD: Final = b"\x17"
"""A datagram without any DTLS record in it, so that aiortc's own task looks what became of the connection."""

_unfinished: set[asyncio.Future[None]] = set()
"""Normally none: kept from being collected."""


@cache
def is_known() -> bool:
    """Whether the installed library is the one that this was written against."""
    from aioice.ice import Connection, StunProtocol
    from aiortc.rtcdtlstransport import RTCDtlsTransport
    from aiortc.rtcsctptransport import RTCSctpTransport

    classes = {each.__name__: each for each in (Connection, StunProtocol, RTCDtlsTransport, RTCSctpTransport)}
    try:
        return all(_source(classes, name) == known for name, known in ORIGINALS.items())
    except (OSError, AttributeError, TypeError):  # no source, or no such method
        return False


def _source(classes: Mapping[str, type], name: str) -> str:
    owner, _, method = name.partition(".")
    source = inspect.getsource(getattr(classes[owner], method))
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def begin_sooner(pc: "RTCPeerConnection") -> None:
    """Have a connection that was just made wait less for what gets lost while it opens."""
    sctp: Any = pc.sctp
    if getattr(sctp, "_rto", 0.0) > _RTO_INITIAL:
        sctp._rto = _RTO_INITIAL


def take(pc: "RTCPeerConnection", connection: "Connection") -> None:
    """Take the shorter ways on this connection, whose channels are open, if its code `is_known`."""
    if not is_known():
        return
    sctp: Any = pc.sctp
    _flush_at_once(sctp)
    for protocol in connection._protocols:
        _sort_by_first_byte(protocol)
    _straight_to_sctp(sctp, connection)


def _flush_at_once(sctp: Any) -> None:
    """Safe because flushing does what it would do in its task a moment later, and sending from inside of a
    handler touches only what goes out, while the packet that is being taken touches only what came in.
    """
    slow = sctp._data_channel_send
    established = sctp.State.ESTABLISHED

    def send(channel: Any, data: bytes | str) -> None:
        limit = sctp._remote_max_message_size
        plain = type(data) is bytes and data and sctp._association_state is established
        if not plain or (limit and len(data) > limit):
            slow(channel, data)
            return
        channel._addBufferedAmount(len(data))
        sctp._data_channel_queue.append((channel, _BINARY, data))
        if not sctp._outbound_queue:  # else the acknowledgement that makes room flushes
            _run(sctp._data_channel_flush())

    sctp._data_channel_send = send


def _sort_by_first_byte(protocol: Any) -> None:
    """Safe because no STUN message begins with 20 to 63: its first byte is below 4."""
    slow = protocol.datagram_received
    receiver, component = protocol.receiver, protocol.local_candidate.component

    def datagram_received(data: bytes, address: tuple[Any, ...]) -> None:
        if data and 19 < data[0] < 64:
            receiver.data_received(data, component)
        else:
            slow(data, address)

    protocol.datagram_received = datagram_received


def _straight_to_sctp(sctp: Any, connection: Any) -> None:
    """Safe because aiortc's task does the same with each datagram, one after the other, and while its queue
    is empty it waits for the next.  Whatever is not plain data on an open connection is left to it; so is
    every error, which ends that task and the connection.
    """
    dtls = sctp.transport
    tls = dtls._ssl
    slow, queue = connection.data_received, connection._queue
    connected = dtls._state
    # with DTLS 1.2, reading data leaves nothing to be written
    is_quiet = tls.get_protocol_version_name() == "DTLSv1.2"

    def data_received(data: bytes, component: int) -> None:
        ready = queue.empty() and dtls._state is connected and dtls._RTCDtlsTransport__handshake_done
        if not ready or dtls._data_receiver is not sctp or not 19 < data[0] < 64:
            slow(data, component)
            return
        try:
            tls.bio_write(data)
            plain = tls.recv(_DATAGRAM)
        except SSL.ZeroReturnError:
            slow(_NO_RECORD, component)
            return
        except SSL.Error:
            plain = b""
        try:
            if not (plain and is_quiet):
                _run(dtls._write_ssl())
            if plain:
                _run(sctp._handle_data(plain))
        except Exception:
            queue.put_nowait(None)  # aiortc's task takes this for the end of the connection

    connection.data_received = data_received


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Carry out what never waits; if it does after all, go on with it in a task."""
    try:
        waited = work.send(None)
    except StopIteration:
        return
    task = asyncio.ensure_future(_rest(work, waited))
    _unfinished.add(task)
    task.add_done_callback(_unfinished.discard)


@types.coroutine
def _rest(work: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun and waits for *waited*."""
    while True:
        try:
            try:
                sent = yield waited
            except BaseException as error:
                waited = work.throw(error)
            else:
                waited = work.send(sent)
        except StopIteration:
            return
