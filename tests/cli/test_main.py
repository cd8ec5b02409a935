"""Arguments in, exit code and words out; nothing here opens a session."""

import json
import shutil
from pathlib import Path

import click
import pytest

from peer.cli import settings
from peer.cli.errors import Failure
from peer.cli.exit_codes import MEANINGS, ExitCode
from peer.cli.main import run_command, weft
from peer.cli.status import lines
from peer.core.actions import SaveShadow
from peer.core.ids import DocId
from peer.edge import registry
from peer.edge.store import Store


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("arguments", [(), ("-h",), ("--help",), ("help",)])
def test_the_overview_has_examples_and_all_commands(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, out, err = said(capsys, *arguments)
    assert (code, err) == (0, "")
    assert "weft share notes/ --server" in out
    for command in ("share", "join", "status", "stop", "serve", "version", "help"):
        assert f"\n  {command} " in out


def test_help_explains_a_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "help", "share")[1] == said(capsys, "share", "-h")[1].replace(
        "weft share", "weft share"
    )
    assert "--path [auto|lan|direct|turn|relay]" in said(capsys, "help", "share")[1]
    code, out, _ = said(capsys, "help", "exit-codes")
    assert code == 0
    assert set(MEANINGS) == set(ExitCode)
    for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130, 143):
        assert f"{number:>5}  " in out
    assert said(capsys, "help", "nonsense")[0] == 2


def test_versions_are_printed_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "-V")[1].startswith("weft ")
    assert "python" in said(capsys, "version")[1]


@pytest.mark.parametrize(
    ("typed", "advice"),
    [
        ("shrae", "weft share"),
        ("jion", "weft join"),
        ("xyzzy", "weft help"),
        ("weft:AUkB", "weft join LINK DIR"),
        ("https://pad.example.org/j#A", "weft join LINK DIR"),
        ("notes", "weft share notes"),
    ],
)
def test_a_word_that_is_no_command_gets_advice_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], typed: str, advice: str
) -> None:
    Path("notes").mkdir()
    code, out, err = said(capsys, typed)
    assert (code, out) == (2, "")
    assert f"  do      {advice}\n" in err


def test_short_names_work_but_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Share PATH" in said(capsys, "s", "-h")[1]
    assert "Share PATH" in said(capsys, "start", "-h")[1]
    assert "Join the session" in said(capsys, "j", "-h")[1]


def test_mistakes_have_the_same_form_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "share", "--bogus")
    assert (code, out) == (2, "")
    assert err.startswith("error: No such option")
    assert "[E-USAGE]" in err
    assert err.endswith("  do      weft share --help\n")
    code, out, err = said(capsys, "share", "--json", "--bogus")
    assert (code, err) == (2, "")
    record = json.loads(out)
    assert (record["schema"], record["seq"], record["type"], record["exit"]) == (1, 1, "error", 2)
    assert "exclude each other" in said(capsys, "-q", "share", "--json")[1]


def test_sharing_without_a_server_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "share")
    assert code == 2
    assert "[E-NO-SERVER]" in err
    assert "weft serve" in err
    assert "--server http" in err


def test_sharing_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "share", "nix", "--server", "x.org")
    assert code == 2
    assert "nix does not exist" in err


def test_nobody_shares_their_home_by_mistake(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for arguments in (("share", ".."), ("share", "/", "--no-input"), ("join", "weft:A", "..")):
        code, _, err = said(capsys, *arguments, "--server", "x.org")
        assert code == 2
        assert "[E-LARGE-FOLDER]" in err
        assert "--yes" in err


@pytest.mark.parametrize(
    "arguments", [("share", "notes"), ("join", "notes"), ("share", "notes", "--server", "x")]
)
@pytest.mark.parametrize("gone", ["whole", "contents"])
def test_a_folder_that_lost_its_files_is_an_error_for_both_verbs(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], gone: str
) -> None:
    folder = Path("notes")
    folder.mkdir()
    store = Store.open(registry.create(folder, bytes(32)).database)
    store.save_shadow(SaveShadow(DocId(b"document"), "a.md", b"text", False, False))
    store.close()
    shutil.rmtree(folder)
    if gone == "contents":
        folder.mkdir()
    code, out, err = said(capsys, *arguments, "--no-input")
    assert (code, out) == (8, "")
    assert "[E-FOLDER-LOST]" in err
    assert "  a.md\n" in err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 3, "belongs to no session"),
        (("weft:AUkB",), 5, "incomplete"),
        (("weft:AU kB!",), 5, ""),
        (("nonsense",), 5, "neither a link nor a folder"),
        (("nonsense", "here"), 5, "no link"),
        (("", "here"), 5, "empty"),
    ],
)
def test_a_bad_link_is_found_before_anybody_is_asked(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    found, out, err = said(capsys, "join", "--no-input", *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert "[E-LINK]" in err or "[E-NO-SESSION]" in err


def test_a_link_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_LINK", "weft:AUkB")
    code, out, _ = said(capsys, "join", "--json")
    assert code == 5
    assert json.loads(out)["code"] == "E-LINK"


def test_status_says_when_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "status") == (3, "", "no session is running\n")
    code, out, err = said(capsys, "status", "--json")
    assert (code, json.loads(out)["sessions"], err) == (3, [], "")
    assert said(capsys, "status", "-q") == (3, "", "")


def test_status_shows_a_table_with_what_it_knows() -> None:
    peers = [
        {
            "name": "ben",
            "state": "here",
            "path": "direct",
            "address": "192.168.1.23",
            "rtt_ms": 2.4,
            "sent_bytes": 41_000,
            "received_bytes": 12_000,
            "file": "todo.md",
            "waiting": 0,
        },
        {"name": "dora\x1b[2J", "state": "silent", "waiting": 12},
    ]
    server = {"url": "wss://pad.example.org/ws", "state": "lost"}
    session: dict[str, object] = {"folder": "/x/notes", "role": "owner", "files": 14, "uptime_s": 7440.0}
    shown = lines({**session, "server": server, "peers": peers})
    assert shown[0] == (
        "/x/notes/  as owner · 2 others · 14 files · since 2 h 4 min · server pad.example.org (lost)"
    )
    assert shown[1].split() == ["NAME", "STATE", "PATH", "RTT", "SENT/GOT", "WHERE"]
    assert shown[2].split() == [
        *("ben", "here", "direct", "192.168.1.23", "2", "ms", "41", "kB", "/", "12", "kB", "todo.md")
    ]
    assert shown[1].index("WHERE") == shown[2].index("todo.md")
    assert "dora�[2J" in shown[3]
    assert shown[3].endswith("-  (12 wait)")
    assert lines({})[1] == "  nobody else is here"


def test_settings_are_read_and_unknown_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert settings.load(path) == {}
    path.write_text('server = "https://pad.example.org"\nname = "anna"\n')
    assert settings.load(path) == {"server": "https://pad.example.org", "name": "anna"}
    for bad in ('sever = "x"', "name = 3", 'name = ""', "=", "name = '\xff'"):
        path.write_bytes(bad.encode("latin-1"))
        with pytest.raises(Failure) as caught:
            settings.load(path)
        assert caught.value.problem.code == "E-CONFIG"
        assert str(path) in caught.value.problem.message


def test_the_server_may_be_in_the_settings(capsys: pytest.CaptureFixture[str], places: Path) -> None:
    (places / "config").mkdir()
    (places / "config" / "config.toml").write_text('server = "not a server"\n')
    code, _, err = said(capsys, "share")
    assert code != 0
    assert "[E-NO-SERVER]" not in err


def test_every_command_and_flag_is_explained() -> None:
    context = click.Context(weft)
    for name in weft.list_commands(context):
        if name == "serve":
            continue
        command = weft.get_command(context, name)
        assert command is not None
        assert command.help
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or getattr(parameter, "help", None), parameter.name
