"""One's own STUN and TURN servers: three places, one meaning, sentences for mistakes."""

import json
from pathlib import Path

import pytest

from peer.cli.errors import Failure
from peer.cli.ice_servers import VARIABLE, chosen_ice_servers
from peer.cli.settings import load
from peer.edge.ice_servers import IceServer, Servers, TurnServer, sorted_servers

TURN = IceServer(("turn:t?transport=udp", "turn:t?transport=tcp"), "anna", "pass,word")
ENTRY = {"urls": ["turn:t"], "username": "anna", "credential": "pass,word"}


def test_a_flag_is_a_url_and_perhaps_a_user_and_a_password() -> None:
    found = chosen_ice_servers(["stun:s:3478", "turn:t,anna,pass,word"], {})
    assert found == (IceServer(("stun:s:3478",)), TURN)
    who = ("anna", "pass,word")
    turn = (TurnServer("t", 3478, "udp", *who), TurnServer("t", 3478, "tcp", *who))
    assert sorted_servers(found) == Servers((("s", 3478),), turn)


def test_flags_go_before_the_environment_which_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text('name = "anna"\n[[ice_servers]]\nurls = ["stun:file"]\n')
    settings = load(file)
    assert chosen_ice_servers([], settings) == (IceServer(("stun:file",)),)
    monkeypatch.setenv(VARIABLE, json.dumps([ENTRY]))
    assert chosen_ice_servers([], settings) == (TURN,)
    assert chosen_ice_servers(["stun:flag"], settings) == (IceServer(("stun:flag",)),)
    monkeypatch.setenv(VARIABLE, "[]")
    assert chosen_ice_servers([], settings) == ()


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("http://x", "is no address"),
        ("turn:t", "turn:t needs a user and a password"),
        ("turn:t,anna", "has a user and no password"),
        ("turn:t,anna,", "turn:t needs a user and a password"),
        ("stun:s?transport=udp", "stun: URLs have none"),
    ],
)
def test_a_flag_of_no_use_is_a_sentence(flag: str, complaint: str) -> None:
    with pytest.raises(Failure, match=complaint):
        chosen_ice_servers([flag], {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("stun:s", "is not JSON"),
        ("{}", "has to hold a list"),
        ('["stun:s"]', "other keys than credential, urls, username"),
        ('[{"url": "stun:s"}]', "other keys than"),
        ('[{"urls": "stun:s"}]', "without a list of urls"),
        ('[{"urls": []}]', "without a list of urls"),
        ('[{"urls": [5]}]', "without a list of urls"),
        ('[{"urls": ["stun:s"], "username": 5}]', "is no text"),
        (json.dumps([{"urls": ["stun:s"]}] * 9), "8 are the most"),
    ],
)
def test_a_variable_of_no_use_is_a_sentence(
    text: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(Failure, match=complaint):
        chosen_ice_servers([], {})
