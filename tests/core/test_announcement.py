"""What members say on a local network is understood by members, and says nothing to anybody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.announcement import (
    BEACON_SIZE,
    Announcement,
    read_beacon,
    read_txt,
    write_beacon,
    write_txt,
)
from peer.core.invitation import lan_key, lan_room_key, link_key, room_private_key

KEY = lan_key(b"s" * 32)
OTHER = lan_key(b"t" * 32)
NONCE = bytes(range(12))
HERE = Announcement(b"instance", 4711)
NAME = HERE.instance.hex()


@given(
    st.binary(min_size=8, max_size=8),
    st.integers(1, 65_535),
    st.booleans(),
    st.binary(min_size=12, max_size=12),
)
def test_a_beacon_is_read_as_it_was_written(instance: bytes, port: int, gone: bool, nonce: bytes) -> None:
    announcement = Announcement(instance, port, gone)
    data = write_beacon(announcement, KEY, nonce)
    assert len(data) == BEACON_SIZE
    assert read_beacon(data, KEY) == announcement


def test_a_beacon_of_another_session_is_not_ours() -> None:
    assert read_beacon(write_beacon(HERE, OTHER, NONCE), KEY) is None


@pytest.mark.parametrize("at", range(BEACON_SIZE))
def test_a_beacon_that_was_altered_anywhere_is_not_ours(at: int) -> None:
    data = bytearray(write_beacon(HERE, KEY, NONCE))
    data[at] ^= 1
    assert read_beacon(bytes(data), KEY) is None


@given(st.binary(max_size=64))
def test_any_bytes_may_arrive_on_a_shared_port(data: bytes) -> None:
    assert read_beacon(data, KEY) is None
    assert read_beacon((b"weft\x01" + data).ljust(BEACON_SIZE, b"\0")[:BEACON_SIZE], KEY) is None


def test_two_beacons_of_one_program_share_nothing_but_its_random_name_and_port() -> None:
    first, second = (write_beacon(HERE, KEY, bytes([n]) * 12) for n in (1, 2))
    assert first[:16] == second[:16] == b"weft\x01\x01" + HERE.instance + (4711).to_bytes(2, "big")
    assert first[-16:] != second[-16:]


def test_a_service_is_read_as_it_was_written() -> None:
    assert read_txt(NAME, 4711, write_txt(HERE, KEY, NONCE), KEY) == HERE


@pytest.mark.parametrize(
    ("name", "port", "change"),
    [
        ("0" * 16, 4711, {}),
        ("not hexadecimal!", 4711, {}),
        (NAME + "00", 4711, {}),
        (NAME, 4712, {}),
        (NAME, 0, {}),
        (NAME, 70_000, {}),
        (NAME, 4711, {"v": "2"}),
        (NAME, 4711, {"n": "00"}),
        (NAME, 4711, {"n": None}),
        (NAME, 4711, {"t": "é"}),
        (NAME, 4711, {"t": "00" * 16}),
    ],
)
def test_a_service_that_was_altered_is_not_ours(name: str, port: int, change: dict[str, str | None]) -> None:
    assert read_txt(name, port, {**write_txt(HERE, KEY, NONCE), **change}, KEY) is None


def test_a_service_of_another_session_is_not_ours() -> None:
    assert read_txt(NAME, 4711, write_txt(HERE, OTHER, NONCE), KEY) is None


def test_what_is_derived_from_the_secret_for_one_purpose_says_nothing_about_another() -> None:
    secret = b"s" * 32
    rooms = {key(secret).public_key().public_bytes_raw() for key in (lan_room_key, room_private_key)}
    assert len(rooms | {lan_key(secret), link_key(secret)}) == 4
