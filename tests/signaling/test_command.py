"""`weft serve` on the command line: what it accepts and how it fails."""

import errno
import io
import json
import os
import socket
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from peer.cli.exit_codes import ExitCode
from signaling.command import serve
from signaling.journal import Journal
from signaling.listening import own_addresses, where
from signaling.settings import Settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(serve, arguments)


def test_help_names_every_flag_its_variable_and_its_default() -> None:
    text = " ".join(run("--help").output.split())
    for setting in fields(Settings):
        if setting.name not in (
            "ice_servers",
            "tls_certificate",
            "tls_key",
            "allowed_origins",
            "trusted_proxies",
            "turn_secret",
        ):
            assert f"--{setting.name.replace('_', '-')}" in text
            assert f"WEFT_{setting.name.upper()}" in text
    assert "IP addresses" in text
    assert "--turn-secret-file" in text
    assert "WEFT_TURN_SECRET_FILE" in text
    assert "WEFT_CONFIG" in text


def test_good_settings_can_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "server.toml"
    config.write_text("port = 1\n")
    monkeypatch.setenv("WEFT_ROOMS", "3")
    result = run("--check", "--config", str(config), "--room-members", "5", "--log-addresses")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "the settings are fine\n"


def test_turn_servers_are_given_with_flags_and_their_secret_in_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    turn = [
        "--stun",
        "stun:a:3478",
        "--turn",
        "turn:a",
        "--turn",
        "turns:a:443",
        "--turn-secret-file",
        str(secret),
    ]
    missing = run("--check", *turn)
    assert missing.exit_code == 2
    assert (
        f"cannot read turn_secret_file from --turn-secret-file: No such file or directory ({secret})"
        in missing.stderr
    )
    secret.write_text("north-wind-and-the-sun\n")
    assert run("--check", *turn).exit_code == 0
    alone = run("--check", "--turn", "turn:a")
    assert "turn and turn_secret_file only make sense together" in alone.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--config", "/nonexistent.toml"], "error: cannot read /nonexistent.toml: No such file"),
        (["--room-members", "0"], "error: room_members is 0"),
        (["--port", "x"], "is not a valid integer"),
        (["--prot", "1"], "No such option"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_to_do(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stdout == ""
    assert "--help" in result.stderr


def test_the_file_named_in_the_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "server.toml"
    config.write_text("prot = 1\n")
    monkeypatch.setenv("WEFT_CONFIG", str(config))
    result = run("--check")
    assert result.exit_code == 2
    assert "no setting 'prot'; the nearest is 'port'" in result.stderr


def test_a_port_that_is_taken_ends_as_the_table_says_and_names_it_and_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("--port", str(port))
    assert result.exit_code == ExitCode.USAGE
    assert f"error: cannot listen on 127.0.0.1 port {port}: address already in use  [E-PORT]" in result.stderr
    assert (
        f"  do      stop the program that listens there, or take another port:  weft serve --port {port + 1}"
        in (result.stderr)
    )


def test_an_address_of_another_machine_ends_with_2() -> None:
    result = run("--host", "192.0.2.1", "--port", "0")
    assert result.exit_code == ExitCode.USAGE
    assert "[E-HOST]\n  do      this machine does not have that address" in result.stderr


def test_a_name_that_does_not_exist_ends_with_2() -> None:
    result = run("--host", "no name at all", "--port", "0")
    assert result.exit_code == ExitCode.USAGE
    assert "error: cannot listen on no name at all port 0" in result.stderr


def test_a_certificate_that_is_none_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    monkeypatch.setenv("WEFT_TLS_CERTIFICATE", str(nonsense))
    monkeypatch.setenv("WEFT_TLS_KEY", str(nonsense))
    result = run("--port", "0")
    assert result.exit_code == 2
    assert "cannot use tls_certificate and tls_key" in result.stderr


def test_events_are_json_lines_for_programs_and_text_for_people() -> None:
    lines, text = io.StringIO(), io.StringIO()
    Journal(lines, as_json=True).report("client.ended", {"n": 1, "code": 4003})
    Journal(text, as_json=False).report("client.ended", {"n": 1, "code": 4003})
    event = json.loads(lines.getvalue())
    assert (event["schema"], event["seq"], event["type"], event["n"]) == (1, 1, "client.ended", 1)
    assert text.getvalue().endswith("Z client.ended n=1 code=4003\n")


def test_attack_flood_of_events_does_not_fill_the_disk() -> None:
    now = 0.0
    lines = io.StringIO()
    journal = Journal(lines, as_json=True, clock=lambda: now)
    for number in range(5000):
        journal.report("client.refused", {"n": number})
    journal.report("client.ended", {})
    assert len(lines.getvalue().splitlines()) == 201
    now = 1.0
    journal.report("client.refused", {})
    assert json.loads(lines.getvalue().splitlines()[-1])["left_out"] == 4800


def test_a_log_that_cannot_be_written_does_not_stop_the_server() -> None:
    journal = Journal(FullDisk(), as_json=False)
    journal.report("client.ended", {})
    journal.report("client.ended", {})


class FullDisk(io.StringIO):
    """A file that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_server_for_this_machine_alone_says_so() -> None:
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")):
        assert where(host, 8787, tls=False) == [
            f"listening on http://{shown}:8787 (Ctrl-C to stop)",
            "only this machine reaches it; for others:  weft serve --host 0.0.0.0",
        ]


def test_an_address_that_others_can_type_is_named_as_it_is() -> None:
    assert where("192.0.2.7", 80, tls=False) == ["listening on http://192.0.2.7:80 (Ctrl-C to stop)"]
    assert where("pad.example.org", 443, tls=True) == [
        "listening on https://pad.example.org:443 (Ctrl-C to stop)"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_on_every_address_names_those_that_others_can_type(host: str) -> None:
    family = socket.AF_INET if host == "0.0.0.0" else socket.AF_UNSPEC
    first, second = where(host, 8787, tls=False)
    assert first == "listening on port 8787, on every address of this machine (Ctrl-C to stop)"
    assert host not in second.split()
    for own in own_addresses(family):
        assert (f"--server http://[{own}]:8787" if ":" in own else f"--server http://{own}:8787") in second
    if not own_addresses(family):
        assert second == "this machine has no network now; others will use its address or name"
    assert where(host, 443, tls=True)[1].startswith("others use:  --server https://NAME:443 ")
