"""Credentials that expire: what is signed, who is named, and what of an operator's URLs becomes of use."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling.messages import IceServer
from signaling.turn import Issuer, ice_urls, pseudonym, sign, turn_secrets

SECRET = "north-wind-and-the-sun"
NOON = 1_795_000_000.25
KEY = bytes(range(32))


def issuer(**changed: object) -> Issuer:
    settings: dict[str, object] = {
        "fixed": (),
        "stun": ("stun:a",),
        "turn": ("turn:b?transport=udp",),
        "secrets": (SECRET, "the-one-before-that"),
        "life": 3600.0,
        "key": KEY,
    }
    return Issuer(**(settings | changed))  # type: ignore[arg-type]


def test_a_credential_is_the_hmac_of_a_name_with_its_end_in_it() -> None:
    # printf 1795003600:pseudonym | openssl dgst -sha1 -hmac north-wind-and-the-sun -binary | base64
    assert sign(SECRET, 1_795_003_600, "pseudonym") == (
        "1795003600:pseudonym",
        "f6AMDVT++Fvqj0XGVJ2uyOYp44E=",
    )


def test_the_first_secret_signs_and_the_others_do_not() -> None:
    username, credential = (
        issuer().servers(NOON, "room", "net")[1].username,
        issuer().servers(NOON, "room", "net")[1],
    )
    assert username is not None
    expected = base64.b64encode(hmac.digest(SECRET.encode(), username.encode(), hashlib.sha1)).decode()
    assert credential.credential == expected


def test_a_credential_never_ends_sooner_than_the_client_is_told() -> None:
    for moment in (NOON, 1_795_000_000.0, 1_795_000_000.999):
        username = issuer(life=5.5).servers(moment, "room", "net")[1].username or ""
        assert moment + 5.5 <= int(username.partition(":")[0]) < moment + 6.5


def test_a_pseudonym_is_the_same_for_a_room_a_network_and_a_day_and_no_other() -> None:
    name = pseudonym(KEY, NOON, "room", "net")
    assert len(name) == 12
    assert name == pseudonym(KEY, NOON + 1, "room", "net")
    others = {
        pseudonym(KEY, NOON + 86_400, "room", "net"),
        pseudonym(KEY, NOON, "other", "net"),
        pseudonym(KEY, NOON, "room", "other"),
        pseudonym(KEY, NOON, "roomn", "et"),
        pseudonym(bytes(32), NOON, "room", "net"),
    }
    assert len(others | {name}) == 6


def test_the_list_begins_with_what_the_operator_wrote_down_himself() -> None:
    fixed = IceServer(("turn:own",), "u", "c")
    listed = issuer(fixed=(fixed,)).servers(NOON, "room", "net")
    assert listed[0] == fixed
    assert [each.urls for each in listed[1:]] == [("stun:a",), ("turn:b?transport=udp",)]
    assert listed[1].username is None


def test_a_list_without_turn_never_expires() -> None:
    plain = issuer(turn=(), secrets=())
    assert (plain.ttl, plain.issue_seconds) == (0.0, 60.0)
    assert plain.servers(NOON, "room", "net") == (IceServer(("stun:a",)),)
    assert issuer(stun=(), turn=(), secrets=()).servers(NOON, "room", "net") == ()


def test_whoever_asks_at_half_of_a_life_never_comes_too_early() -> None:
    assert (issuer().ttl, issuer().issue_seconds) == (3600.0, 60.0)
    assert (issuer(life=6.0).ttl, issuer(life=6.0).issue_seconds) == (6.0, 1.5)


def test_secrets_and_keys_are_in_no_repr() -> None:
    assert SECRET not in repr(issuer())
    assert "key" not in repr(issuer())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("stun:a.example", ("stun:a.example",)),
        ("stun:a.example:3478", ("stun:a.example:3478",)),
        ("turn:a.example", ("turn:a.example?transport=udp", "turn:a.example?transport=tcp")),
        ("turn:1.2.3.4:1", ("turn:1.2.3.4:1?transport=udp", "turn:1.2.3.4:1?transport=tcp")),
        ("turn:[::1]:65535?transport=tcp", ("turn:[::1]:65535?transport=tcp",)),
        ("turn:a?transport=udp", ("turn:a?transport=udp",)),
        ("turns:a:443", ("turns:a:443?transport=tcp",)),
        ("turns:a:443?transport=tcp", ("turns:a:443?transport=tcp",)),
    ],
)
def test_every_url_is_told_with_its_transport(url: str, told: tuple[str, ...]) -> None:
    assert ice_urls(url) == told
    assert tuple(again for each in told for again in ice_urls(each)) == told


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "is no address"),
        ("turn.example.org", "is no address"),
        ("turn://turn.example.org", "is no address"),
        ("turn:", "is no address"),
        ("turn:a:65536", "is no address"),
        ("turn:a:b", "is no address"),
        ("turn:::1", "is no address"),
        ("turn:user@a", "is no address"),
        ("turn:a?transport=sctp", "is no address"),
        ("stuns:a", "is no address"),
        ("turns:a?transport=udp", "DTLS"),
        ("stun:a?transport=udp", "stun: URLs have none"),
    ],
)
def test_a_url_of_no_use_is_an_error_in_words(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ice_urls(url)


@given(st.text(max_size=30) | st.text("stunr:[]0.?=aé/", max_size=30))
def test_any_text_is_a_url_or_an_error_in_words(text: str) -> None:
    try:
        told = ice_urls(text)
    except ValueError:
        return
    assert all(each.startswith(text) for each in told)


def test_secrets_are_lines_and_the_first_counts() -> None:
    assert turn_secrets(f"\n {SECRET}\r\n\nthe-one-before-that\n") == (SECRET, "the-one-before-that")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no secret in it"),
        (" \n\n", "no secret in it"),
        (f"{SECRET}\nbrief", "secret 2 is shorter than 16"),
        ("a secret of many words", "secret 1 has other characters"),
        ("é" * 20, "secret 1 has other characters"),
    ],
)
def test_a_secret_of_no_use_is_an_error_that_does_not_repeat_it(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        turn_secrets(text)
    assert not text.strip() or text.split()[-1] not in str(caught.value)
