"""status, ping, doctor and report, asked beside real sessions."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.e2e.town import Town, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SECRET_FILE = "letter to the bank.md"
SECRET_TEXT = "the number is 4711"


class Beside:
    """Anna shares, ben joins directly, chen through the relay; and anna has a second terminal."""

    def __init__(self, town: Town) -> None:
        self.town = town
        _, self.url = town.serve()
        self.folder = town.place / "anna" / "private papers"
        anna, link = town.share("anna", self.folder, "--server", self.url)
        (self.folder / SECRET_FILE).write_text(SECRET_TEXT)
        town.join("ben", link, town.place / "ben" / "notes")
        town.join("chen", link, town.place / "chen" / "notes", "--path", "relay")
        anna.wait_for("peer.path", 20 * town.patience, path="direct")
        anna.wait_for("peer.path", 20 * town.patience, name="chen", path="relay")
        self.anna, self.link = anna, link

    def weft(self, *arguments: str, home: str = "anna") -> subprocess.CompletedProcess[str]:
        place = self.town.place / home
        own = {f"WEFT_{kind.upper()}_DIR": str(place / kind) for kind in ("config", "data", "runtime")}
        command = [str(Path(sys.executable).with_name("weft")), *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **own},
            cwd=place,
            timeout=40 * self.town.patience,
            check=False,
        )

    def peer(self, name: str) -> dict[str, object]:
        found = json.loads(self.weft("status", "--json").stdout)["sessions"][0]["peers"]
        return next(each for each in found if each["name"] == name)


def test_people_see_who_is_here_and_by_which_way(town: Town) -> None:
    beside = Beside(town)
    ben, chen = beside.peer("ben"), beside.peer("chen")
    assert (ben["path"], chen["path"]) == ("direct", "relay")
    assert isinstance(ben["rtt_ms"], float)
    assert isinstance(chen["rtt_ms"], float)
    assert chen["why_not_direct"] == "--path relay was chosen on the other side"
    assert ben["state"] == "here"
    (town.place / "ben" / "notes" / "by ben.md").write_text("something")
    until(lambda: beside.peer("ben")["state"] == "editing", 10 * town.patience, "ben is seen editing")
    assert beside.peer("ben")["file"] == "by ben.md"
    assert beside.weft("status", "--short").stdout == "2 others: 1 direct, 1 relayed\n"
    assert beside.weft("status", "--exit-code").returncode == 10
    table = beside.weft("status").stdout
    assert "ben   editing" in table
    assert "chen is relayed" in table
    told = beside.anna.records("peer.path")
    assert all(record["rtt_ms"] is not None for record in told), told
    steps = [(each["stage"], each["name"]) for each in beside.anna.records("connect.stage")]
    assert steps == [
        ("server", ""),
        ("found", "ben"),
        ("sealed", "ben"),
        ("found", "chen"),
        ("sealed", "chen"),
    ]


def test_each_answer_to_a_ping_names_its_path(town: Town) -> None:
    beside = Beside(town)
    direct = beside.weft("ping", "ben")
    assert direct.returncode == 0
    assert direct.stdout.count("pong from ben in") == 1, "it stops when direct"
    assert ", direct 127.0.0.1:" in direct.stdout
    relayed = beside.weft("ping", "chen", "-c", "3", "-i", "0.05", "--json")
    answers = [json.loads(line) for line in relayed.stdout.splitlines()]
    assert [each.get("path") for each in answers[:3]] == ["relay"] * 3
    assert (answers[3]["sent"], answers[3]["answered"]) == (3, 3)
    waits = beside.weft("ping", "CHEN", "--until-direct", "-c", "2", "-i", "0.05")
    assert waits.returncode == 10, "chen never is"
    nobody = beside.weft("ping", "dora")
    assert nobody.returncode == 4
    assert "dora is not connected; there are: ben, chen" in nobody.stderr
    town.kill(beside.anna)
    assert beside.weft("ping", "ben").returncode == 3


def test_a_report_holds_no_name_no_text_no_key_and_no_address(town: Town) -> None:
    beside = Beside(town)
    crash = town.place / "anna" / "data" / "crash.log"
    crash.write_text(
        'Traceback (most recent call last):\n  File "/home/anna/lib/peer/core/sync.py", line 7, in flush\n'
        f'    open("{SECRET_FILE}")\nValueError: {SECRET_TEXT}\nin {SECRET_FILE}\n'
    )
    target = town.place / "report.zip"
    asked = beside.weft("report", "-o", str(target))
    assert asked.returncode == 2, "nobody was there to look at it"
    assert not target.exists()
    written = beside.weft("report", "--yes", "-o", str(target))
    assert written.returncode == 0, written.stderr
    assert "doctor.json" in written.stderr
    assert "replaced in" in written.stderr
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as archive:
        contents = {name: archive.read(name).decode() for name in archive.namelist()}
    assert set(contents) == {"README.txt", "versions.json", "doctor.json", "session.json", "crash.txt"}
    everything = "\n".join(contents.values())
    port = beside.url.rpartition(":")[2]
    secrets = (
        "anna",
        "ben",
        "chen",
        SECRET_FILE,
        "4711",
        "private papers",
        "127.0.0.1",
        port,
        str(town.place),
    )
    for secret in (*secrets, beside.link):
        assert secret not in everything, secret
    peers = json.loads(contents["session.json"])[0]["peers"]
    assert [(each["path"], each["address"]) for each in peers] == [
        ("direct", "IPv4 loopback"),
        ("relay", "address"),
    ]
    assert json.loads(contents["session.json"])[0]["events"]["peer.joined"] == 2
    assert 'File "peer/core/sync.py", line 7, in flush' in contents["crash.txt"]
    assert beside.weft("report", "--yes", "-o", str(target)).returncode == 8, "it is never written over"


def test_the_doctor_says_how_somebody_is_reached(town: Town) -> None:
    beside = Beside(town)
    found = json.loads(beside.weft("doctor", "--json", "--only", "server", "--peer", "chen").stdout)
    path = next(each for each in found["findings"] if each["id"] == "peer.path")
    assert path["verdict"] == "note"
    assert path["cause"] == "--path relay was chosen on the other side"
    assert found["server"] == beside.url, "it is that of the running session"
    assert found["exit"] == 10
    nobody = beside.weft("doctor", "--only", "server", "--peer", "dora")
    assert nobody.returncode == 4


def test_the_self_test_needs_no_network_and_is_quick(town: Town) -> None:
    place = town.place / "new"
    place.mkdir()
    own = {f"WEFT_{kind.upper()}_DIR": str(place / kind) for kind in ("config", "data", "runtime")}
    done = subprocess.run(
        [str(Path(sys.executable).with_name("weft")), "doctor", "--self-test", "--json"],
        capture_output=True,
        env={**os.environ, **own},
        timeout=20 * town.patience,
        check=False,
    )
    findings = json.loads(done.stdout)["findings"]
    assert [(each["id"], each["verdict"]) for each in findings] == [
        (f"self.{step}", "ok") for step in ("server", "share", "join", "edits", "direct")
    ]
    assert done.returncode == 0
    assert not list(place.iterdir()), "keys and sessions of the person are left alone"
