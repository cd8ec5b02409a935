"""The direct paths of a running session, by the number that the core gave each attempt.

What an attempt is, and everything about WebRTC, is in `attempt.py`; addresses and checks are in `ice.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from peer.core.actions import AcceptAnswer, AcceptOffer, AddCandidates, DialDirect
from peer.core.events import DirectArrived, DirectBroken, TurnKnown
from peer.core.ids import Attempt
from peer.edge.attempt import CLOSE_SECONDS, CONNECT_SECONDS, DirectPath, Emit
from peer.edge.ice_servers import IceServerLike, kinds, sorted_servers
from peer.edge.quiet import load, quieten
from peer.errors import RemoteError, UsageError

__all__ = ["PATHS_LIMIT", "DirectPaths"]

PATHS_LIMIT: Final = 192
"""Attempts at one time, for each of the 64 members of the largest room: the path that stands, the one before
it that still listens, and a try at a better one."""


class DirectPaths:
    """All attempts at direct paths of one running session.

    Every method returns at once; what comes of it is told through *emit*, which must only put the event
    in a queue.  Must be used inside a running event loop.
    """

    def __init__(
        self,
        emit: Emit,
        ice_servers: Sequence[IceServerLike] = (),
        *,
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._emit = emit
        self._servers = sorted_servers(ice_servers)
        self.before_attempt: Callable[[], None] = lambda: None
        """Called before `_servers` are used: a moment to take expired ones back."""
        self._connect_seconds = connect_seconds
        self._paths: dict[Attempt, DirectPath] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaded = False
        if ice_servers:
            asyncio.get_running_loop().call_soon(emit, TurnKnown(kinds(self._servers)))

    async def warm(self) -> None:
        """Import what the first path needs, in a thread, so that the loop goes on meanwhile."""
        if not self._loaded:
            await asyncio.to_thread(load)
            self._loaded = True
            quieten(asyncio.get_running_loop())

    def use_ice_servers(self, ice_servers: Sequence[IceServerLike]) -> None:
        """Ask these STUN and TURN servers from now on; tells `TurnKnown`."""
        self._servers = sorted_servers(ice_servers)
        self._emit(TurnKnown(kinds(self._servers)))

    def dial(self, order: DialDirect) -> None:
        """Make an offer: `OfferMade`, then `CandidatesFound`, or `DirectBroken`."""
        path = self._begin(order.attempt)
        if path is not None:
            self._prepare(path, lambda: path.make_offer(self._servers, order.same_host, order.means))

    def accept_offer(self, order: AcceptOffer) -> None:
        """Answer an offer: `AnswerMade`, later `DirectOpened`, or `DirectBroken`."""
        path = self._begin(order.attempt)
        if path is not None:
            self._prepare(
                path, lambda: path.make_answer(self._servers, order.same_host, order.means, order.sdp)
            )

    def accept_answer(self, order: AcceptAnswer) -> None:
        """Finish an offer: `DirectOpened`, or `DirectBroken`.  Ignored if the attempt is over."""
        path = self._paths.get(order.attempt)
        if path is not None:
            self._run(_told(path, path.take_answer(order.sdp)))

    def add_candidates(self, order: AddCandidates) -> None:
        """Try more addresses of the other side.  Ignored if the attempt is over."""
        path = self._paths.get(order.attempt)
        if path is not None:
            self._run(_told(path, path.take_candidates(order.candidates, last=order.last)))

    def send(self, attempt: Attempt, piece: bytes) -> None:
        """Send one piece over `edits`; dropped if the attempt is over, which the core has been told."""
        path = self._paths.get(attempt)
        if path is not None:
            path.send(piece)

    def send_lossy(self, attempt: Attempt, data: bytes) -> None:
        """Send over `presence`; dropped if the path is busy."""
        path = self._paths.get(attempt)
        if path is not None:
            path.send_lossy(data)

    def tell_arrived(self, attempt: Attempt) -> None:
        """Tell how many of the pieces of this path have arrived: `DirectArrived`.  Ignored if it is over."""
        path = self._paths.get(attempt)
        if path is not None:
            self._emit(DirectArrived(attempt, path.arrived()))

    def buffered(self, attempt: Attempt) -> int:
        """Bytes of pieces that are not on the network yet; zero for an attempt that is over."""
        path = self._paths.get(attempt)
        return path.buffered if path is not None else 0

    def close(self, attempt: Attempt, drain: bool = False) -> None:
        """End an attempt; nothing more is told about it.  With *drain*, what is queued is sent first."""
        path = self._paths.pop(attempt, None)
        if path is None:
            return
        if drain:
            self._run(path.drain())
        else:
            path.finish()

    async def aclose(self) -> None:
        """End every attempt and wait (with a limit) until their sockets are closed."""
        for attempt in list(self._paths):
            self.close(attempt)
        while self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=2 * CLOSE_SECONDS)
            if late:
                return

    def _begin(self, attempt: Attempt) -> DirectPath | None:
        if attempt in self._paths:
            raise UsageError(f"attempt {attempt} at a direct path is under way already")
        if len(self._paths) >= PATHS_LIMIT:
            self._emit(DirectBroken(attempt, f"there are {PATHS_LIMIT} direct paths already"))
            return None
        self.before_attempt()
        path = DirectPath(attempt, self._emit, self._retire, self._connect_seconds)
        self._paths[attempt] = path
        return path

    def _prepare(self, path: DirectPath, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def prepare() -> None:
            await self.warm()
            await make()

        path.preparation = self._run(_told(path, prepare()))

    def _retire(self, path: DirectPath) -> None:
        if self._paths.get(path.attempt) is path:
            del self._paths[path.attempt]
        self._run(path.release())

    def _run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _told(path: DirectPath, work: Coroutine[Any, Any, None]) -> None:
    """Carry out *work*; if it fails, so does *path*."""
    try:
        await work
    except RemoteError as error:
        path.fail(str(error))
    except Exception as error:
        # The library raises whatever its parser of foreign descriptions trips over.
        path.fail(f"the direct path could not be prepared: {error!r}")
