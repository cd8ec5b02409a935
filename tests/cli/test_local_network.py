"""What the command line says, and takes, for local networks."""

import json
from pathlib import Path

import pytest

from peer.cli.main import run_command
from peer.cli.people_table import lines
from peer.cli.render import Setting
from tests.cli.fake_session import FakeSession
from tests.cli.test_render import Screen


class WithoutServer(FakeSession):
    """A session that meets on the local network only."""

    def status(self) -> dict[str, object]:
        lan = {"at": ["192.168.1.20:47801", "[fd00::1]:47801"], "found": 1}
        return {**super().status(), "server": {"url": None, "state": "none"}, "lan": lan}


def test_a_link_without_a_server_is_said_to_work_here(tmp_path: Path) -> None:
    hint = "It works on this network. For people anywhere, share with --server URL: a link of its own."
    here, anywhere = Screen(Setting("share", "notes/")), Screen()
    here.view.started(WithoutServer(folder=tmp_path))
    anywhere.view.started(FakeSession(folder=tmp_path))
    assert hint in here.lines()
    assert hint not in anywhere.lines()


def test_the_status_shows_where_others_can_be_sent() -> None:
    shown = lines(WithoutServer().status())
    assert "server none" in shown[0]
    assert shown[1] == "  on this network  --at 192.168.1.20:47801"
    assert not [line for line in lines(FakeSession().status()) if "--at" in line]
    assert not [line for line in lines({"lan": {"at": []}}) if "--at" in line]


def test_a_place_that_cannot_be_read_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    assert run_command(("share", "notes", "--at", "nowhere", "--json")) == 2
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "HOST:PORT" in said["message"]
    assert list((tmp_path / "notes").iterdir()) == []
