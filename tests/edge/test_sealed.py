"""The sealed link between two ends in one process: everything but a network."""

import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from OpenSSL import SSL

from peer.edge.identity import Identity, make_identity
from peer.edge.sealed import PAYLOAD_LIMIT, PIECE_LIMIT, Seal
from peer.errors import Malformed, RemoteError, TooLarge, Unreachable, UsageError


def identity(number: int) -> Identity:
    return make_identity(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


ANA, BEN = identity(1), identity(2)


def carry(sender: Seal, receiver: Seal) -> int:
    frames = sender.take_outgoing()
    for frame in frames:
        receiver.receive(frame)
    return len(frames)


def linked(ana: Identity = ANA, ben: Identity = BEN) -> tuple[Seal, Seal]:
    first, second = Seal(True, ana), Seal(False, ben)
    first.start()
    second.start()
    while carry(first, second) + carry(second, first):
        pass
    return first, second


def test_each_side_learns_the_other_device_key() -> None:
    first, second = linked()
    assert first.established
    assert second.established
    assert first.device_key == BEN.device
    assert second.device_key == ANA.device


def test_the_key_is_not_told_before_it_is_proved() -> None:
    seal = Seal(True, ANA)
    seal.start()
    assert not seal.established
    with pytest.raises(UsageError):
        _ = seal.device_key
    with pytest.raises(UsageError):
        seal.send(b"too soon")


def test_one_device_may_talk_to_itself() -> None:
    first, second = linked(ANA, ANA)
    assert first.device_key == second.device_key == ANA.device


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, PIECE_LIMIT])
def test_pieces_arrive_whole_and_in_order(size: int) -> None:
    first, second = linked()
    pieces = [bytes([number]) * size for number in range(3)]
    for piece in pieces:
        first.send(piece)
        second.send(piece)
    carry(first, second)
    carry(second, first)
    assert second.take_pieces() == pieces
    assert first.take_pieces() == pieces
    assert first.take_pieces() == []


def test_what_is_relayed_is_cut_to_size_and_unreadable() -> None:
    first, second = linked()
    secret = b"attack at dawn " * 4000
    first.send(secret)
    frames = first.take_outgoing()
    assert len(frames) >= 2
    assert max(map(len, frames)) <= PAYLOAD_LIMIT
    assert b"attack" not in b"".join(frames)
    for frame in frames:
        second.receive(frame)
    assert second.take_pieces() == [secret]


def test_the_device_keys_do_not_show_in_the_handshake() -> None:
    first, second = Seal(True, ANA), Seal(False, BEN)
    first.start()
    seen = b""
    while True:
        there = first.take_outgoing()
        for frame in there:
            second.receive(frame)
        back = second.take_outgoing()
        for frame in back:
            first.receive(frame)
        seen += b"".join(there + back)
        if not there and not back:
            break
    assert first.established
    assert seen.count(bytes(ANA.device)) == 0
    assert seen.count(bytes(BEN.device)) == 0
    assert b"weft" not in seen


def test_frames_may_be_cut_anywhere() -> None:
    first, second = linked()
    first.send(b"one")
    first.send(b"two")
    stream = b"".join(first.take_outgoing())
    for position in range(len(stream)):
        second.receive(stream[position : position + 1])
    assert second.take_pieces() == [b"one", b"two"]


def test_a_piece_beyond_the_limit_is_refused_before_it_is_sent() -> None:
    first, _ = linked()
    with pytest.raises(UsageError):
        first.send(bytes(PIECE_LIMIT + 1))
    assert first.established


def test_a_piece_that_claims_to_be_too_large_ends_the_link() -> None:
    first, second = linked()
    first._connection.sendall((PIECE_LIMIT + 1).to_bytes(4, "big"))
    with pytest.raises(TooLarge):
        carry(first, second)
    assert not second.established


def test_an_oversized_frame_ends_the_link() -> None:
    first, _ = linked()
    with pytest.raises(TooLarge):
        first.receive(bytes(64 * 1024 + 1))
    assert not first.established


def test_what_nobody_takes_does_not_grow_for_ever() -> None:
    first, _ = linked()

    def send_only() -> None:
        for _ in range(100):
            first.send(bytes(PIECE_LIMIT))

    with pytest.raises(TooLarge, match="waits for the relay"):
        send_only()
    third, fourth = linked()

    def receive_only() -> None:
        for _ in range(100):
            third.send(bytes(PIECE_LIMIT))
            carry(third, fourth)

    with pytest.raises(TooLarge, match="was not taken"):
        receive_only()


def test_a_dead_link_stays_dead() -> None:
    _, second = linked()
    with pytest.raises(Malformed):
        second.receive(b"rubbish that is no TLS record")
    with pytest.raises(Malformed):
        second.receive(b"")
    with pytest.raises(Malformed):
        second.send(b"x")
    second.close()
    assert not second.established


def test_a_disturbed_side_tells_the_other_by_an_alert() -> None:
    first, second = linked()
    first.send(b"hello")
    frame = bytearray(first.take_outgoing()[0])
    frame[-1] ^= 1
    with pytest.raises(Malformed):
        second.receive(bytes(frame))
    with pytest.raises(RemoteError):
        carry(second, first)


def test_closing_is_heard_by_the_other_side() -> None:
    first, second = linked()
    first.send(b"last words")
    first.close()
    with pytest.raises(Unreachable):
        carry(first, second)
    assert second.take_pieces() == [b"last words"]
    with pytest.raises(Unreachable):
        first.send(b"more")


def test_every_link_is_a_full_handshake() -> None:
    for _ in range(3):
        first, second = linked()
        assert first._connection.get_protocol_version_name() == "TLSv1.3"
        assert not SSL._lib.SSL_session_reused(first._connection._ssl)  # type: ignore[attr-defined]
        assert second.device_key == ANA.device


def other_end(context: SSL.Context) -> SSL.Connection:
    """A foreign TLS client, to which a `Seal` is the server."""
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    return connection


def converse(foreign: SSL.Connection, seal: Seal) -> None:
    for _ in range(10):
        with contextlib.suppress(SSL.WantReadError):
            foreign.do_handshake()
        try:
            data = foreign.bio_read(65536)
        except SSL.Error:
            data = b""
        seal.receive(data)
        for frame in seal.take_outgoing():
            foreign.bio_write(frame)


def test_a_side_without_a_certificate_is_refused() -> None:
    with pytest.raises(RemoteError):
        converse(other_end(SSL.Context(SSL.TLS_METHOD)), Seal(False, ANA))


def test_an_older_tls_is_refused() -> None:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate(BEN.certificate)
    context.use_privatekey(BEN.private_key)
    with pytest.raises(RemoteError):
        converse(other_end(context), Seal(False, ANA))


def test_a_certificate_with_another_kind_of_key_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ANA.certificate.not_valid_before_utc)
        .not_valid_after(ANA.certificate.not_valid_after_utc)
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    with pytest.raises(Malformed, match="Ed25519"):
        converse(other_end(context), Seal(False, ANA))


def test_somebody_elses_certificate_is_worthless_without_its_key() -> None:
    thief = SSL.Context(SSL.TLS_METHOD)
    thief.use_certificate(BEN.certificate)
    with pytest.raises(SSL.Error):
        thief.use_privatekey(ANA.private_key)


def test_both_ends_of_one_link_and_nobody_else_share_its_binding() -> None:
    first, second = linked()
    assert first.binding == second.binding
    assert len(first.binding) == 32
    assert linked()[0].binding != first.binding
    with pytest.raises(UsageError):
        _ = Seal(True, ANA).binding
