"""How another process on this machine talks to a running session: one Unix socket per session.

One JSON object per line each way: `{"schema": 1, "ask": "status"}` is answered by
`{"schema": 1, "ok": true, "result": {…}}` or `{"schema": 1, "ok": false, "error": "…"}`.  Whoever may
open the socket may do everything, so it has mode 0600 in a directory of mode 0700.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import socket
import stat
import sys
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from peer.errors import StorageError, Unreachable, UsageError, WeftError

__all__ = ["ControlSocket", "Handler", "ask", "running", "runtime_dir", "socket_path"]

Handler = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]
"""Answers one kind of request, given all its fields, with a JSON-ready object."""

SCHEMA: Final = 1

REQUEST_LIMIT: Final = 4096
"""Bytes of one request line; the longest of ours has 30."""

RESPONSE_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of one answer; a status of 64 peers has about 20,000."""

CONNECTIONS: Final = 16
"""Open at once; each caller asks and leaves."""

IDLE_SECONDS: Final = 30.0
"""A caller that says nothing for so long is cut off."""

PATH_LIMIT: Final = 100
"""Bytes of a socket's path; the system's own limit is 104 on macOS and 108 on Linux."""


def runtime_dir() -> Path:
    """Where sockets are: `WEFT_RUNTIME_DIR`, or what the system uses."""
    chosen = os.environ.get("WEFT_RUNTIME_DIR")
    if chosen:
        return Path(chosen)
    import platformdirs  # 15 ms that `weft --help` need not pay

    with warnings.catch_warnings():
        # Without XDG_RUNTIME_DIR it takes a place below /tmp and says so, to people who cannot act on it.
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_dir("weft", appauthor=False))


def socket_path(session: Path | str, runtime: Path | None = None) -> Path:
    """Where the control socket of a session is, given its folder, or its id if it has none.

    The name is a hash of the folder's resolved path, so that whoever stands in the folder finds it.
    """
    name = str(session.resolve()) if isinstance(session, Path) else session
    return _directory(runtime or runtime_dir()) / f"{_short(name)}.sock"


def running(runtime: Path | None = None) -> list[Path]:
    """The sockets that are there; one that nobody serves any more is found out by `ask`."""
    return sorted(_directory(runtime or runtime_dir()).glob("*.sock"))


def _short(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16]


def _directory(runtime: Path) -> Path:
    """*runtime* itself, or a short stand-in for it when socket paths in it would be too long."""
    runtime = runtime.absolute()
    if len(os.fsencode(runtime)) + len("/0123456789abcdef.sock") <= PATH_LIMIT:
        return runtime
    user = os.getuid() if sys.platform != "win32" else 0
    return Path(tempfile.gettempdir()[:40]) / f"weft-{user}-{_short(str(runtime))}"


class ControlSocket:
    """The serving end, for as long as the session runs; an async context manager."""

    def __init__(self, path: Path, handlers: Mapping[str, Handler]) -> None:
        self._path = path
        self._handlers = dict(handlers)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._inode = 0

    async def __aenter__(self) -> Self:
        """Begin to answer.

        Raises:
            UsageError: another process answers there.
            StorageError: the socket cannot be made, or its directory belongs to somebody else.
        """
        try:
            _make_private(self._path.parent)
            _clear_stale(self._path)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._inode = self._path.stat().st_ino
        except OSError as error:
            raise StorageError(f"the control socket {self._path} cannot be made: {error}") from error
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=REQUEST_LIMIT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) > CONNECTIONS:
                await _reply(writer, {"ok": False, "error": "too many callers at once, try again"})
                return
            while await self._answer_one(reader, writer):
                pass
        except OSError:
            pass  # the caller is gone, or does not read
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                line = await reader.readline()
        except TimeoutError:
            return False
        except ValueError:
            await _reply(writer, {"ok": False, "error": f"a request has at most {REQUEST_LIMIT} bytes"})
            return False
        if not line.endswith(b"\n"):
            return False
        await _reply(writer, await self._answer(line))
        return True

    async def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "a request is one line of JSON"}
        asked = request.get("ask") if isinstance(request, dict) else None
        handler = self._handlers.get(asked) if isinstance(asked, str) else None
        if handler is None:
            return {"ok": False, "error": f"a request asks for one of: {', '.join(sorted(self._handlers))}"}
        try:
            return {"ok": True, "result": await handler(request)}
        except WeftError as error:
            return {"ok": False, "error": str(error)}


async def _reply(writer: asyncio.StreamWriter, answer: Mapping[str, object]) -> None:
    writer.write(json.dumps({"schema": SCHEMA, **answer}).encode() + b"\n")
    async with asyncio.timeout(IDLE_SECONDS):
        await writer.drain()


def _make_private(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StorageError(f"{directory} belongs to somebody else: set WEFT_RUNTIME_DIR to a place of yours")
    if found.st_mode & 0o077:
        directory.chmod(0o700)


def _clear_stale(path: Path) -> None:
    """Remove a socket that a crashed process left; one that is served belongs to a live session."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except FileNotFoundError:
            return
        except TimeoutError:
            pass  # somebody holds it, however slow
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise UsageError("the session of this folder is already running: see `weft status`")


def ask(path: Path, request: str, timeout: float = 5.0, **fields: object) -> dict[str, object]:
    """Ask the session whose control socket is *path*, waiting *timeout* seconds for each step.

    *fields* are further fields of the request.

    Raises:
        Unreachable: nobody answers there (any more), or not in time.
        UsageError: the session does not understand the request.
    """
    line = json.dumps({**fields, "schema": SCHEMA, "ask": request}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(line)
            answer = _read_answer(connection)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise Unreachable("no session is running there") from error
    except TimeoutError as error:
        raise Unreachable(f"the session did not answer within {timeout:g} s") from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"the session broke off its answer: {error}") from error
    if not answer.get("ok"):
        raise UsageError(str(answer.get("error", "the session gave no reason")))
    result = answer.get("result")
    return result if isinstance(result, dict) else {}


def _read_answer(connection: socket.socket) -> dict[str, object]:
    received = bytearray()
    while not received.endswith(b"\n"):
        part = connection.recv(65_536)
        if not part or len(received) > RESPONSE_LIMIT:
            raise ValueError("it is incomplete or too long")
        received += part
    answer = json.loads(received)
    if not isinstance(answer, dict):
        raise ValueError("it is no JSON object")
    return answer
