import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core import frames
from peer.core.frames import (
    FRAME_LIMIT,
    Ack,
    Ask,
    Bye,
    DigestEntry,
    Digests,
    EditFrame,
    Frame,
    Ping,
    PresenceFrame,
    Proof,
    State,
    decode,
    encode,
)
from peer.errors import Malformed, RemoteError, TooLarge

DOC = b"\x01" * 8
EXAMPLES: list[Frame] = [
    Ack(7),
    Ask(DOC, b"\x00"),
    Bye("left"),
    Digests([DigestEntry(DOC, b"d" * 16)], last=True),
    EditFrame(DOC, b"update"),
    Ping(1, 2, b"s" * 8),
    PresenceFrame(3, "#112233", "a/日.md", (1, 2), typing=True),
    Proof(b"m" * 32),
    State(DOC, b""),
]


@pytest.mark.parametrize("frame", EXAMPLES, ids=lambda frame: type(frame).__name__)
def test_a_frame_survives_the_wire(frame: Frame) -> None:
    assert decode(encode(frame)) == frame


def test_every_type_number_is_its_own_and_the_highest_is_known() -> None:
    numbers = [kind.__struct_config__.tag for kind in frames.Frame.__args__]
    assert sorted(numbers) == list(range(1, frames.HIGHEST_TYPE + 1))


def test_a_type_that_we_do_not_know_is_nothing() -> None:
    assert decode(msgspec.msgpack.encode([frames.HIGHEST_TYPE + 1, "whatever"])) is None


def test_elements_that_we_do_not_know_are_ignored() -> None:
    assert decode(msgspec.msgpack.encode([15, 7, "more"])) == Ack(7)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x90",
        b"\x91\x0f",
        msgspec.msgpack.encode([9, b"short", b""]),
        b"\xc1",
        b"\x91\xa1\xff",
    ],
)
def test_bytes_that_are_no_frame_are_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data)


def test_an_oversized_frame_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        decode(bytes(FRAME_LIMIT + 1))


def test_a_deep_nest_is_malformed_and_not_a_crash() -> None:
    with pytest.raises(Malformed):
        decode(b"\x91" * 100_000)


@given(st.binary(max_size=64))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        frame = decode(data)
    except RemoteError:
        return
    assert frame is None or decode(encode(frame)) == frame
