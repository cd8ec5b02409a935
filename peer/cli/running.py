"""Running one session from the command line: open it, show what happens, leave well.

The first Ctrl-C (or SIGTERM, or the closing of the terminal) says goodbye to the others; the second
ends the program at once.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from peer.cli.errors import explain
from peer.cli.exit_codes import ExitCode
from peer.cli.view import SessionLike, View
from peer.core.notices import Notice
from peer.edge.control import ControlSocket, socket_path
from peer.errors import WeftError

__all__ = ["Opening", "run"]

Opening = Callable[[], AbstractAsyncContextManager[SessionLike]]
"""Begins the session; called after the first line is on the screen, so it may import what it needs."""

LEAVE_SECONDS: Final = 8.0
"""How long a goodbye may take; the others find out by silence after 15."""

UNREAD_SECONDS: Final = 1.0
"""How often to see whether somebody still reads our records."""

_SIGNALS: Final = {
    signal.SIGINT: ExitCode.INTERRUPTED,
    signal.SIGTERM: ExitCode.TERMINATED,
    signal.SIGHUP: ExitCode.HUNG_UP,
}


def run(view: View, opening: Opening) -> ExitCode:
    """Open a session, show it in *view* until it ends, and return how to end the program."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_session(view, opening))
    except Exception as error:  # the last stop of everything that goes wrong
        problem = explain(error)
        view.failed(problem)
        return problem.exit
    finally:
        view.close()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _session(view: View, opening: Opening) -> ExitCode:
    task = asyncio.current_task()
    assert task is not None
    with _Leaving(task) as leaving:
        try:
            # The control socket goes last: when it is gone, the folder is free for another process.
            async with AsyncExitStack() as control, opening() as session:
                leaving.opened()
                await _listen(control, session, view, leaving)
                view.started(session)
                await _follow(session, view, leaving)
                view.leaving(session)
                await _leave(session)
                view.ended(session.summary())
        except asyncio.CancelledError:
            if not leaving.wanted.is_set():
                raise
    return leaving.code


async def _listen(control: AsyncExitStack, session: SessionLike, view: View, leaving: "_Leaving") -> None:
    """Answer `weft status` and `weft stop`; a session that cannot is still worth having."""

    async def status(_: Mapping[str, object]) -> dict[str, object]:
        return {**session.status(), "pid": os.getpid()}

    async def stop(_: Mapping[str, object]) -> dict[str, object]:
        leaving.now(ExitCode.OK)
        return {"stopping": True}

    async def ping(request: Mapping[str, object]) -> dict[str, object]:
        pong = await session.ping(str(request.get("peer", "")))
        return asdict(pong)

    path = socket_path(session.folder if session.folder else session.session_id)
    try:
        await control.enter_async_context(ControlSocket(path, {"status": status, "stop": stop, "ping": ping}))
        leaving.socket = path
    except WeftError as error:
        view.warning("W-NO-CONTROL", f"`weft status` and `weft stop` will not work: {error}")


async def _follow(session: SessionLike, view: View, leaving: "_Leaving") -> None:
    """Show notices until the session ends or somebody wants to leave."""
    events = aiter(session.events())
    wanted = asyncio.ensure_future(leaving.wanted.wait())
    upcoming = asyncio.ensure_future(_next(events))
    try:
        while not wanted.done() and not view.unread():
            patience = min(UNREAD_SECONDS, view.patience() or UNREAD_SECONDS)
            await asyncio.wait({wanted, upcoming}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            view.flush()
            if not upcoming.done():
                continue
            notice = upcoming.result()
            if notice is None:
                return
            view.notice(notice)
            upcoming = asyncio.ensure_future(_next(events))
        if view.unread():
            leaving.code = ExitCode.FAILURE
    finally:
        wanted.cancel()
        upcoming.cancel()
        await asyncio.gather(wanted, upcoming, return_exceptions=True)


async def _next(events: AsyncIterator[Notice]) -> Notice | None:
    return await anext(events, None)


async def _leave(session: SessionLike) -> None:
    with suppress(TimeoutError):  # the others will notice by themselves then
        async with asyncio.timeout(LEAVE_SECONDS):
            await session.leave()


class _Leaving:
    """Whether and why to leave; takes the signals over for as long as it is entered."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self.wanted = asyncio.Event()
        self.code = ExitCode.OK
        self.socket: Path | None = None
        self._task = task
        self._opened = False
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> Self:
        for number, code in _SIGNALS.items():
            self._loop.add_signal_handler(number, self._signalled, code)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _SIGNALS:
            self._loop.remove_signal_handler(number)

    def opened(self) -> None:
        """From now on there is somebody to say goodbye to."""
        self._opened = True

    def now(self, code: ExitCode) -> None:
        """Leave as soon as possible; *code* is how the program ends then."""
        self.code = code
        self.wanted.set()
        if not self._opened:
            self._task.cancel()

    def _signalled(self, code: ExitCode) -> None:
        if self.wanted.is_set():
            # Somebody is in a hurry: skip everything, even what Python does at its end.
            if self.socket:
                self.socket.unlink(missing_ok=True)
            os._exit(code)
        self.now(code)
