"""The control socket between real processes' ends: private, bounded, cleaned up."""

import asyncio
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from peer.edge.control import (
    CONNECTIONS,
    PATH_LIMIT,
    REQUEST_LIMIT,
    ControlSocket,
    ask,
    running,
    socket_path,
)
from peer.errors import StorageError, Unreachable, UsageError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WEFT_RUNTIME_DIR", str(tmp_path / "run"))
    yield tmp_path / "run"
    stand_in = socket_path("x").parent
    if stand_in.exists():
        stand_in.rmdir()  # fails if a test left a socket there


async def status(_: object) -> Mapping[str, object]:
    return {"files": 14}


async def refuse(_: object) -> Mapping[str, object]:
    raise UsageError("not now")


HANDLERS = {"status": status, "refuse": refuse}


async def raw(path: Path, data: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(data)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_a_question_is_answered_and_the_socket_is_private(tmp_path: Path) -> None:
    path = socket_path(tmp_path / "notes")
    async with ControlSocket(path, HANDLERS):
        assert await asyncio.to_thread(ask, path, "status") == {"files": 14}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert running() == [path]
        two = await raw(path, b'{"schema":1,"ask":"status"}\n' * 2)
        assert [json.loads(line)["schema"] for line in two.splitlines()] == [1, 1]
    assert not path.exists()
    assert running() == []


async def test_what_cannot_be_answered_is_refused_in_words(tmp_path: Path) -> None:
    path = socket_path("session")
    async with ControlSocket(path, HANDLERS):
        with pytest.raises(UsageError, match="refuse, status"):
            await asyncio.to_thread(ask, path, "nonsense")
        with pytest.raises(UsageError, match="not now"):
            await asyncio.to_thread(ask, path, "refuse")
        for bad in (b"nonsense\n", b"[]\n", b'{"ask": []}\n', b"[" * 3000 + b"\n", b"\xff\n"):
            assert json.loads(await raw(path, bad))["ok"] is False
        assert json.loads(await raw(path, b"x" * (REQUEST_LIMIT + 10) + b"\n"))["ok"] is False
        assert await raw(path, b"no end of line") == b""
        assert await asyncio.to_thread(ask, path, "status") == {"files": 14}


async def test_callers_beyond_the_limit_are_sent_away_and_later_ones_served(tmp_path: Path) -> None:
    path = socket_path("session")
    async with ControlSocket(path, HANDLERS):
        open_ = [await asyncio.open_unix_connection(str(path)) for _ in range(CONNECTIONS)]
        reader, writer = await asyncio.open_unix_connection(str(path))
        assert b"too many" in await asyncio.wait_for(reader.readline(), 10)
        writer.close()
        for _, each in open_:
            each.close()
        async with asyncio.timeout(10):
            while b"files" not in await raw(path, b'{"ask": "status"}\n'):
                pass


async def test_leaving_does_not_wait_for_callers_that_stay(tmp_path: Path) -> None:
    path = socket_path("session")
    async with asyncio.timeout(5):
        async with ControlSocket(path, HANDLERS):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b'{"ask": "status"}\n')
            await reader.readline()
        assert await reader.read() == b""
        writer.close()


async def test_a_socket_left_by_a_crash_is_replaced_but_a_live_one_is_not(tmp_path: Path) -> None:
    path = socket_path("session")
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    with pytest.raises(Unreachable, match="no session is running"):
        await asyncio.to_thread(ask, path, "status")
    async with ControlSocket(path, HANDLERS):
        assert await asyncio.to_thread(ask, path, "status") == {"files": 14}
        with pytest.raises(UsageError, match="already running"):
            async with ControlSocket(path, HANDLERS):
                pass
        assert await asyncio.to_thread(ask, path, "status") == {"files": 14}


async def test_nobody_there_and_nobody_answering_are_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no session is running"):
        ask(socket_path("session"), "status")
    path = socket_path("mute")
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(path))
        mute.listen()
        with pytest.raises(Unreachable, match="did not answer within"):
            ask(path, "status", timeout=0.1)
    path.unlink()


async def test_a_directory_open_to_others_is_closed_and_one_of_somebody_else_refused(tmp_path: Path) -> None:
    path = socket_path("session")
    path.parent.mkdir()
    path.parent.chmod(0o777)
    async with ControlSocket(path, HANDLERS):
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()
    path.parent.symlink_to(tmp_path)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        async with ControlSocket(path, HANDLERS):
            pass
    path.parent.unlink()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
async def test_a_directory_that_somebody_else_made_first_is_not_used(tmp_path: Path) -> None:
    path = socket_path("session")
    path.parent.mkdir(mode=0o700)
    os.chown(path.parent, 12_345, 12_345)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        async with ControlSocket(path, HANDLERS):
            pass


def test_paths_stay_short_however_deep_the_runtime_directory_is(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    first, second = socket_path("x", deep), socket_path("x", deep / "f")
    assert len(os.fsencode(first)) <= PATH_LIMIT
    assert first != second
    assert socket_path("x", Path("/run/weft")).parent == Path("/run/weft")
