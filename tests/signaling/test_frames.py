"""Relayed frames, written and read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.frames import Malformed, Relayed, address_of, pack_frame, readdress, unpack_frame


@given(st.binary(max_size=40))
def test_any_binary_message_is_a_frame_unknown_or_malformed(message: bytes) -> None:
    try:
        frame = unpack_frame(message)
    except Malformed:
        assert len(message) < 9
    else:
        assert (frame is None) == (message[0] != 1)
        if frame is not None:
            assert pack_frame(frame.address, frame.payload) == message


def test_frames_keep_their_payload_and_change_their_address() -> None:
    up = pack_frame(b"receiver", b"payload")
    assert up == b"\x01receiverpayload"
    assert unpack_frame(up) == Relayed(b"receiver", b"payload")
    assert address_of(up) == b"receiver"
    assert readdress(up, b"a sender") == b"\x01a senderpayload"
    assert unpack_frame(b"\x01receiver") == Relayed(b"receiver", b"")


def test_a_frame_without_a_whole_address_is_malformed() -> None:
    for short in (b"", b"\x01", b"\x01receive"):
        with pytest.raises(Malformed):
            unpack_frame(short)
        with pytest.raises(Malformed):
            address_of(short)


def test_an_unknown_binary_message_is_ignored() -> None:
    assert unpack_frame(b"\x02anything") is None
    assert address_of(b"\x00") is None
