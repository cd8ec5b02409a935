"""A server that only this machine can reach is pointed out before its address is in everybody's link."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from peer.cli.local_server import is_for_this_machine, warning
from peer.cli.main import weft

LOCAL = (
    "http://localhost:8787",
    "localhost",
    "LOCALHOST:9",
    "pad.localhost",
    "https://127.0.0.1:8787/x",
    "127.9.9.9",
    "http://[::1]:8787",
    "::1",
    "ws://[::ffff:127.0.0.1]:1",
    "http://0.0.0.0:8787",
    "[::]:8787",
)
ELSEWHERE = (
    "https://pad.example.org",
    "192.168.1.20:8787",
    "fd00::2",
    "localhost.example.org",
    "http://[",
    "",
)


@pytest.mark.parametrize("server", LOCAL)
def test_an_address_that_means_this_machine_everywhere_is_recognised(server: str) -> None:
    assert is_for_this_machine(server)


@pytest.mark.parametrize("server", ELSEWHERE)
def test_an_address_that_others_can_use_is_not_warned_of(server: str) -> None:
    assert not is_for_this_machine(server)


def test_the_warning_is_one_sentence_that_says_what_to_do() -> None:
    text = warning("http://localhost:9000")
    assert text.startswith("the link will name localhost:9000, which only this machine can reach: ")
    assert "weft serve --host 0.0.0.0" in text
    assert "--server http://" in text.partition("serve")[2]
    assert text.endswith(":9000")
    assert warning("[::1]").endswith(":8787")


@pytest.mark.parametrize("again", [False, True])
def test_who_shares_through_such_a_server_is_warned_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    # The server is not there, so the command ends by itself; the warning is no reason to.
    if again:
        (tmp_path / ".weft").mkdir()
        (tmp_path / ".weft" / "session.json").touch()
    monkeypatch.setenv("WEFT_NO_LAN", "1")
    arguments = ["share", str(tmp_path), "--json", "--server", "http://127.0.0.1:9"]
    result = CliRunner().invoke(weft, arguments)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["code"] for record in records if record["type"] == "warning"] == ["W-LOCAL-SERVER"]
    assert records[-1]["code"] == "E-SERVER"
