"""What a report must not hold is not in it, whatever it stands in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.cli.redaction import Redaction, address_class


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seen as 93.184.216.34", "seen as <IPv4 public>"),
        ("wlan0 192.168.1.20/24 fd00::20/64", "wlan0 <IPv4 private>/24 <IPv6 private>/64"),
        ("direct [2606:4700::1111]:443", "direct <IPv6 public>:443"),
        (
            "fe80::1%eth0 and ::1 and 127.0.0.1:80",
            "<IPv6 link-local> and <IPv6 loopback> and <IPv4 loopback>:80",
        ),
        ("chmod 600 /home/anna/.config/weft/device.key", "chmod 600 <path>"),
        ("weft join weft:AQD0lMQgo4K95SZh1VBYjthPCdF7", "weft join <link>"),
        ("https://pad.example.org/j#AQD0lMQ", "<link>"),
        ("asks https://pad.example.org:8443/v1/ws now", "asks <url> now"),
        ("turn.example.org:3478 does not answer", "<host>:3478 does not answer"),
        ("opens //nas/anna/notes", "opens <path>"),
        ("use https://", "use https://"),
        ('use https:// or wss://, not "http://"', 'use https:// or wss://, not "http://"'),
        ("key 0123456789abcdef0123", "key <long>"),
        ("09:41:12 and 1.16.0, 3 of 4", "09:41:12 and 1.16.0, 3 of 4"),
    ],
)
def test_what_is_recognised_is_replaced_and_the_rest_stays(text: str, expected: str) -> None:
    assert Redaction().text(text) == expected


def test_what_people_have_named_is_replaced_the_longest_first_and_in_any_case() -> None:
    redaction = Redaction([("ben", "peer"), ("ben's notes", "folder"), ("", "user"), ("x", "user")])
    assert redaction.text("Ben shares ben's notes, x; bends") == "<peer> shares <folder>, x; bends"
    assert redaction.counts["names"] == 2


def test_values_keep_their_shape() -> None:
    redaction = Redaction([("anna", "peer")])
    assert redaction.value({"a": ["anna", 1, None, ("10.0.0.1",)], "b": True}) == {
        "a": ["<peer>", 1, None, ["<IPv4 private>"]],
        "b": True,
    }


def test_of_a_crash_only_places_and_kinds_are_kept() -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "/home/anna/.venv/lib/python3.11/site-packages/aiohttp/web.py", line 3, in run\n'
        '    open("love letter.md")\n'
        '  File "/home/anna/weft/peer/core/sync.py", line 9, in flush\n'
        "ValueError: love letter.md\n"
        "says dear ben\n"
        "\nDuring handling of the above exception, another exception occurred:\n"
        "peer.errors.StorageError: no\n"
    )
    assert Redaction().crash(log) == (
        "Traceback (most recent call last):\n"
        '  File "aiohttp/web.py", line 3, in run\n'
        '  File "peer/core/sync.py", line 9, in flush\n'
        "ValueError\n"
        "During handling of the above exception, another exception occurred:\n"
        "peer.errors.StorageError\n"
    )


@given(st.ip_addresses(), st.sampled_from(["at {}", "[{}]:80", "({})", "{}, gone", "{}"]))
def test_no_address_comes_through(address: object, around: str) -> None:
    text = around.format(address)
    redacted = Redaction().text(text)
    assert str(address) not in redacted, redacted


@given(st.text(max_size=60))
def test_any_text_can_be_redacted_and_twice_is_once(text: str) -> None:
    once = Redaction().text(text)
    assert Redaction().text(once) == once


def test_an_address_is_told_by_its_class_alone() -> None:
    assert address_class("10.1.2.3") == "IPv4 private"
    assert address_class("[fe80::1%eth0]") == "IPv6 link-local"
    assert address_class("224.0.0.251") == "IPv4 multicast"
    assert address_class("0.0.0.0") == "IPv4 any"
    assert address_class("8.8.8.8") == "IPv4 public"
    assert address_class("pad.example.org") == "address"
