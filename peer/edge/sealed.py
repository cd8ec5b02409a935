"""The sealed link: TLS 1.3 between two devices, inside frames that a server passes on.

The server sees records that it can stop but neither read nor change: a frame that is lost, repeated,
reordered, shortened or altered fails the next record's authentication, and the link ends.  Each side shows
a self-signed certificate; whether the key in it may act here is decided by whoever reads `Seal.device_key`.
Nothing here touches a socket.
"""

from collections.abc import Callable
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from OpenSSL import SSL

from peer.core.ids import DeviceKey
from peer.edge.identity import Identity
from peer.errors import Malformed, RemoteError, TooLarge, Unreachable, UsageError

__all__ = ["PAYLOAD_LIMIT", "PIECE_LIMIT", "Seal"]

PAYLOAD_LIMIT: Final = 32 * 1024
"""Bytes in one relayed frame that we make: half of the 64 KiB that a server takes in one message."""

PIECE_LIMIT: Final = 64 * 1024
"""Bytes in one piece; the core cuts at 16 KiB, so this is never reached by honest use."""

_RECEIVE_LIMIT: Final = 64 * 1024
"""Bytes in one relayed frame that we accept: the largest that a server lets through."""

_OUTGOING_LIMIT: Final = 4 * 1024 * 1024
"""Bytes waiting for `take_outgoing`, which is called after each turn: sixteen relay budgets."""

_INCOMING_LIMIT: Final = 1024 * 1024
"""Bytes of pieces waiting for `take_pieces`, which is called after each frame."""

_LENGTH_SIZE: Final = 4
_RECORD_OVERHEAD: Final = 22
"""Header, content type and tag of a TLS 1.3 record (RFC 8446 section 5.2)."""

_BINDING_LABEL: Final = b"EXPORTER-weft-1-proof"
_BINDING_SIZE: Final = 32


def _context(identity: Identity) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    # Every link is a new handshake: a resumed one would show no certificate.
    context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.private_key)
    return context


class Seal:
    """One end of a sealed link; after any error it is dead and every call says so again."""

    def __init__(self, initiator: bool, identity: Identity) -> None:
        self._connection = SSL.Connection(_context(identity), None)
        if initiator:
            self._connection.set_connect_state()
        else:
            self._connection.set_accept_state()
        self._device_key: DeviceKey | None = None
        self._plain = bytearray()
        self._pieces: list[bytes] = []
        self._pieces_size = 0
        self._outgoing_size = 0
        self._death: RemoteError | Unreachable | None = None

    @property
    def established(self) -> bool:
        """Whether the handshake is done and `send` may be used."""
        return self._device_key is not None and self._death is None

    @property
    def device_key(self) -> DeviceKey:
        """The key that the other side proved to hold.

        Raises:
            UsageError: the handshake is not done.
        """
        if self._device_key is None:
            raise UsageError("a sealed link has no device key before its handshake is done")
        return self._device_key

    @property
    def binding(self) -> bytes:
        """Keying material of this very connection, equal on both ends only (RFC 8446 section 7.5).

        Raises:
            UsageError: the handshake is not done.
        """
        if self._device_key is None:
            raise UsageError("a sealed link has nothing to bind to before its handshake is done")
        return self._connection.export_keying_material(_BINDING_LABEL, _BINDING_SIZE)

    def start(self) -> None:
        """Begin the handshake; the initiator then has something to `take_outgoing`."""
        self._run(self._shake_hands)

    def receive(self, data: bytes) -> None:
        """Take in one relayed frame.

        Raises:
            RemoteError: the frame does not belong to this link as it stands, or is too large.
            Unreachable: the other side closed the link.
        """
        if len(data) > _RECEIVE_LIMIT:
            self._die(TooLarge("a relayed frame", len(data), _RECEIVE_LIMIT))
        self._check_alive()
        if data:
            self._connection.bio_write(data)
        if self._device_key is None:
            self._run(self._shake_hands)
        if self._device_key is not None:
            self._run(self._read)

    def send(self, piece: bytes) -> None:
        """Seal one piece; the frames that carry it come from `take_outgoing`.

        Raises:
            UsageError: the piece is larger than `PIECE_LIMIT`, or the handshake is not done.
            TooLarge: nobody takes what is sent; the link is dead.
        """
        self._check_alive()
        if self._device_key is None:
            raise UsageError("a sealed link cannot carry anything before its handshake is done")
        if len(piece) > PIECE_LIMIT:
            raise UsageError(f"a piece of {len(piece)} bytes is larger than the limit of {PIECE_LIMIT}")
        self._outgoing_size += _LENGTH_SIZE + len(piece) + _RECORD_OVERHEAD
        if self._outgoing_size > _OUTGOING_LIMIT:
            self._die(TooLarge("what waits for the relay", self._outgoing_size, _OUTGOING_LIMIT))
        self._run(lambda: self._connection.sendall(len(piece).to_bytes(_LENGTH_SIZE, "big") + piece))

    def take_outgoing(self) -> list[bytes]:
        """Return what is to be relayed now, each at most `PAYLOAD_LIMIT` bytes, and forget it.

        Works on a dead link too: the last thing in it is the alert that tells the other side.
        """
        self._outgoing_size = 0
        payloads: list[bytes] = []
        while True:
            try:
                payloads.append(self._connection.bio_read(PAYLOAD_LIMIT))
            except SSL.Error:
                return payloads

    def take_pieces(self) -> list[bytes]:
        """Return the pieces that have arrived whole, oldest first, and forget them."""
        pieces, self._pieces, self._pieces_size = self._pieces, [], 0
        return pieces

    def close(self) -> None:
        """End the link in an orderly way; `take_outgoing` then holds the farewell for the other side."""
        if self.established:
            self._death = Unreachable("this side closed the sealed link")
            self._connection.shutdown()

    def _shake_hands(self) -> None:
        self._connection.do_handshake()
        self._device_key = self._read_device_key()

    def _read_device_key(self) -> DeviceKey:
        try:
            certificate = self._connection.get_peer_certificate(as_cryptography=True)
            key = certificate.public_key() if certificate is not None else None
        except Exception as error:
            raise Malformed("the other side's certificate cannot be read") from error
        if not isinstance(key, Ed25519PublicKey):
            raise Malformed("the other side's certificate does not hold an Ed25519 key")
        return DeviceKey(key.public_bytes_raw())

    def _read(self) -> None:
        while True:
            # Ends with WantReadError, which `_run` takes for what it is.
            self._plain += self._connection.recv(PIECE_LIMIT)
            self._cut()

    def _cut(self) -> None:
        start = 0
        while len(self._plain) - start >= _LENGTH_SIZE:
            size = int.from_bytes(self._plain[start : start + _LENGTH_SIZE], "big")
            if size > PIECE_LIMIT:
                raise TooLarge("a piece", size, PIECE_LIMIT)
            end = start + _LENGTH_SIZE + size
            if len(self._plain) < end:
                break
            self._keep(bytes(self._plain[start + _LENGTH_SIZE : end]))
            start = end
        del self._plain[:start]

    def _keep(self, piece: bytes) -> None:
        self._pieces_size += _LENGTH_SIZE + len(piece)
        if self._pieces_size > _INCOMING_LIMIT:
            raise TooLarge("what arrived and was not taken", self._pieces_size, _INCOMING_LIMIT)
        self._pieces.append(piece)

    def _run(self, step: Callable[[], object]) -> None:
        """Carry out one step of TLS, and translate what can go wrong, once."""
        self._check_alive()
        try:
            step()
        except SSL.WantReadError:
            return
        except SSL.ZeroReturnError:
            self._die(Unreachable("the other side closed the sealed link"))
        except SSL.Error as error:
            self._die(Malformed(f"the sealed link was disturbed: {_reason(error)}"), error)
        except RemoteError as error:
            self._die(error)

    def _die(self, death: RemoteError | Unreachable, cause: Exception | None = None) -> NoReturn:
        self._death = death
        self._plain.clear()
        raise death from cause

    def _check_alive(self) -> None:
        if self._death is not None:
            raise self._death


def _reason(error: SSL.Error) -> str:
    for _, _, reason in error.args[0] if error.args and isinstance(error.args[0], list) else ():
        if reason:
            return str(reason)
    return "the connection ended in mid-record"
