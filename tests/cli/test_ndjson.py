"""Records for machines: every notice, in order, safe to read line by line."""

import io
import json
import os
import threading
import time
from pathlib import Path

from peer.cli.errors import Problem
from peer.cli.exit_codes import ExitCode
from peer.cli.ndjson import Records
from peer.cli.outlet import PENDING_BYTES
from peer.cli.running import run
from peer.core.notices import (
    FileChanged,
    Notice,
    PeerJoined,
    PeerLeft,
    PeerPath,
    PeerSilent,
    PresenceChanged,
    ServerState,
    SyncDone,
    SyncProgress,
    Trouble,
    Warned,
)
from peer.edge.control import ask, socket_path
from peer.errors import ServerUnreachable, Unreachable
from tests.cli.fake_session import LINK, FakeSession

ALL: list[Notice] = [
    ServerState("connected", "wss://pad.example.org"),
    PeerJoined("1", "ben", "editor"),
    PeerPath("1", "ben", "relay", 61.25, 300.0),
    SyncProgress("1", "ben", 1, 2),
    SyncDone("1", "ben", 2, 400, 12.5),
    FileChanged("日本\u2028語.md", "renamed", "ben", "a.md"),
    PresenceChanged("1", "ben", "#ff0000", True, "a.md", (3, 4), True, False),
    PeerSilent("1", "ben", 6.5),
    PeerLeft("1", "ben", "bye"),
    Warned("W-X", "careful", "a.md"),
    Trouble("E-X", "broken"),
]


def records(stream: io.BytesIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().decode("ascii").splitlines()]


def shown(session: FakeSession, *, presence: bool = False) -> tuple[ExitCode, list[dict[str, object]]]:
    stream = io.BytesIO()
    view = Records(stream, "share", presence=presence, clock=lambda: 1234.56789)
    return run(view, session.opening), records(stream)


def asked_when_up(folder: Path, question: str) -> dict[str, object]:
    """Ask the session of *folder* as soon as it answers."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return ask(socket_path(folder), question)
        except Unreachable:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)


def test_a_session_is_told_from_its_start_to_its_summary(tmp_path: Path) -> None:
    session = FakeSession(ALL, folder=tmp_path)
    code, told = shown(session, presence=True)
    assert code == ExitCode.OK
    assert session.left == 1
    assert [record["type"] for record in told] == [
        "session.start",
        "invite.ready",
        "server.state",
        "peer.joined",
        "peer.path",
        "sync.progress",
        "sync.done",
        "file.changed",
        "presence",
        "peer.silent",
        "peer.left",
        "warning",
        "error",
        "summary",
    ]
    assert {record["schema"] for record in told} == {1}
    assert {record["t"] for record in told} == {1234.568}
    assert [record["seq"] for record in told] == list(range(1, len(told) + 1))
    assert told[0] == {
        "schema": 1,
        "seq": 1,
        "t": 1234.568,
        "type": "session.start",
        "command": "share",
        "session": "ab" * 32,
        "folder": str(tmp_path),
        "role": "owner",
        "resumed": False,
        "files": 14,
        "text_bytes": 212_000,
    }
    assert told[1]["link"] == LINK
    assert told[4] | {"seq": 0, "t": 0} == {
        "schema": 1,
        "seq": 0,
        "t": 0,
        "type": "peer.path",
        "peer": "1",
        "name": "ben",
        "path": "relay",
        "rtt_ms": 61.25,
        "took_ms": 300.0,
    }
    assert told[7]["path"] == "日本\u2028語.md"
    assert told[8]["cursor"] == [3, 4]
    assert told[-1]["peers"] == 1


def test_presence_is_told_only_to_those_who_ask(tmp_path: Path) -> None:
    _, told = shown(FakeSession(ALL, folder=tmp_path))
    assert "presence" not in {record["type"] for record in told}


def test_a_side_that_cannot_invite_tells_no_link(tmp_path: Path) -> None:
    _, told = shown(FakeSession(link="", folder=tmp_path))
    assert [record["type"] for record in told] == ["session.start", "summary"]


def test_the_last_record_of_a_failure_says_code_exit_and_what_to_do(tmp_path: Path) -> None:
    code, told = shown(FakeSession(folder=tmp_path, failure=ServerUnreachable("pad is gone")))
    assert code == ExitCode.NO_SERVER
    last = told[-1]
    assert (last["type"], last["code"], last["exit"], last["message"]) == (
        "error",
        "E-SERVER",
        7,
        "pad is gone",
    )
    assert "weft serve" in str(last["hint"])


def test_a_reader_that_is_too_slow_misses_records_and_is_told_so() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as stream:
        view = Records(stream, "share")
        large = "x" * (PENDING_BYTES // 8)
        for _ in range(20):
            view.record("warning", message=large)  # returns at once though nobody reads
        received = bytearray()

        def read() -> None:
            with open(reading, "rb") as source:
                while part := source.read1(1 << 20):
                    received.extend(part)

        reader = threading.Thread(target=read)
        reader.start()
        deadline = time.monotonic() + 10
        while view._outlet.waiting:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
        view.record("summary")
        view.close()
    reader.join()
    types = [json.loads(line)["type"] for line in received.splitlines()]
    assert types[-1] == "summary"
    told = [json.loads(line) for line in received.splitlines() if b"W-RECORDS-SKIPPED" in line]
    kept = types.count("warning") - len(told)
    assert [record["message"].split()[0] for record in told] == [str(20 - kept)]
    assert 0 < kept < 20


def test_problems_of_the_command_line_itself_are_records_too() -> None:
    stream = io.BytesIO()
    view = Records(stream, "join")
    view.failed(Problem("E-LINK", ExitCode.BAD_INVITATION, "bad", names=("a", "b")))
    view.close()
    assert records(stream)[0]["paths"] == ["a", "b"]


def test_status_is_answered_while_the_session_runs_and_stop_ends_it(tmp_path: Path) -> None:
    session = FakeSession(folder=tmp_path, stays=True)
    stream = io.BytesIO()
    answers: list[dict[str, object]] = []

    def call() -> None:
        answers.append(asked_when_up(tmp_path, "status"))
        answers.append(asked_when_up(tmp_path, "stop"))

    thread = threading.Thread(target=call)
    thread.start()
    assert run(Records(stream, "share"), session.opening) == ExitCode.OK
    thread.join()
    assert (answers[0]["files"], answers[0]["pid"]) == (14, os.getpid())
    assert answers[1] == {"stopping": True}
    assert session.left == 1
    assert records(stream)[-1]["type"] == "summary"
    assert not socket_path(tmp_path).exists()
