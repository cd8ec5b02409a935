"""Our place in one room: on the first server that works, kept when connections break and servers change.

One visit is one WebSocket (`visit.py`); which server to visit when is decided by `core/rota.py`.  The visit
in *use* is the one whose frames count.  A better server that works again is entered beside it, and used as
soon as somebody else is there too, or nobody is left here: so nobody is alone in a room while the others
are in another.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.events import Event, MemberAway, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.core.rota import CANDIDATES_LIMIT, Rota, State
from peer.edge.endings import Ending, to_address
from peer.edge.lent_servers import LentServers
from peer.edge.server_url import ServerUrl
from peer.edge.visit import Message, Place, Visit
from signaling import messages

if TYPE_CHECKING:
    import aiohttp

__all__ = ["Candidates", "SignalingClient"]

_CLOSE_SECONDS: Final = 1.0
"""For our last frames to leave, and for a visit to end."""

_MOTD_LIMIT: Final = 200
"""Characters of the operator's message that people are shown: two lines."""

_PLACES_LIMIT: Final = 2 * CANDIDATES_LIMIT
"""Servers at which we remember our place; the oldest is forgotten first."""

Relay = Callable[[bytes, bytes], None]

Candidates = Callable[[], Sequence[str]]
"""The servers to consider now, best first; asked again whenever something changes."""


class SignalingClient:
    """Our place in one room, kept by `run`.

    *servers* are their addresses, best first, or a callable that gives them; after what it gives has changed,
    call `look_again`.  *emit* is told `ServerEntered`, `ServerLost`, `MemberJoined`, `MemberAway` and
    `MemberLeft`; *on_relay* is given the sender's address and the payload of each frame; *on_ice_servers* is
    given the server's list right before `ServerEntered`.  All three must return at once.  *rng* spreads the
    waits.  *connector* makes what finds the server's socket, where that is not left to the system.
    """

    def __init__(
        self,
        servers: Sequence[str] | Candidates,
        room_key: Ed25519PrivateKey,
        emit: Callable[[Event], None],
        on_relay: Relay,
        *,
        rng: random.Random,
        on_ice_servers: Callable[[Sequence[messages.IceServer]], None] = lambda _: None,
        connector: Callable[[], "aiohttp.BaseConnector | None"] = lambda: None,
    ) -> None:
        """Raise `UsageError` if one of the servers, as they are now, does not name a server."""
        self._candidates: Candidates = servers if callable(servers) else lambda: servers
        for server in self._candidates():
            ServerUrl.parse(server)
        self._room_key = room_key
        self._emit = emit
        self._on_relay = on_relay
        self._connector = connector
        self._lent = LentServers(on_ice_servers, rng)
        self._rota = Rota(rng.uniform)
        self._visits: dict[str, tuple[Visit, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places: dict[str, Place] = {}
        self._used: Visit | None = None
        self._runner: asyncio.Task[object] | None = None
        self._changed = asyncio.Event()
        self._reasons: dict[str, str] = {}
        self._told: str | None = None
        self._fault: BaseException | None = None

    @property
    def server(self) -> str | None:
        """The server whose room we are in, as *servers* names it."""
        return self._rota.used

    async def run(self) -> str:
        """Stay in the room until every server says that coming back is useless; return why.

        Cancel it, or call `aclose`, to leave.
        """
        self._runner = asyncio.current_task()
        aiohttp = await asyncio.to_thread(_import_aiohttp)
        time = asyncio.get_running_loop().time
        async with aiohttp.ClientSession(connector=self._connector()) as http:
            self._start(self._lent.renew(self._ask_for_servers))
            try:
                while self._fault is None:
                    self._changed.clear()
                    self._rota.offer(self._candidates())
                    while (server := self._rota.due(time())) is not None:
                        self._begin(server, http)
                    if self._rota.is_hopeless():
                        return self._sentence()
                    await self._until(self._rota.next_deadline())
                raise self._fault
            finally:
                await self._end_visits()

    async def _until(self, deadline: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()

    def send_relay(self, address: bytes, payload: bytes) -> None:
        """Send *payload* to *address*; dropped when we are not in the room, which `emit` was told."""
        if self._used is not None and self._used.outbox is not None:
            self._used.outbox.put_frame(messages.pack_frame(address, payload))

    def retry_now(self) -> None:
        """The network changed, or the machine woke: try at once, and see whether what stands still does."""
        now = asyncio.get_running_loop().time()
        self._rota.retry_now()
        for server, (visit, task) in list(self._visits.items()):
            if self._rota.state(server) is State.TRYING:
                self._rota.given_up(server, now)
                del self._visits[server]
                task.cancel()
            else:
                visit.probe()
        self._changed.set()

    def check_ice_servers(self) -> None:
        """Take back through `on_ice_servers` what has expired, or is older than a sleep."""
        self._lent.look()

    def _ask_for_servers(self) -> None:
        if self._used is not None and self._used.outbox is not None:
            self._used.outbox.put_control(messages.Ice())

    def look_again(self) -> None:
        """The servers to consider have changed."""
        self._changed.set()

    async def aclose(self) -> None:
        """Send what waits (with a limit), then leave the room and end `run`."""
        outbox, runner = None if self._used is None else self._used.outbox, self._runner
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                if outbox is not None:
                    await outbox.flush()
        for visit, _ in self._visits.values():
            visit.leaves = True
        if runner is not None and not runner.done():
            runner.cancel()
            await asyncio.wait({runner}, timeout=3 * _CLOSE_SECONDS)

    # --- visits -------------------------------------------------------------------------------------------

    def _begin(self, server: str, http: "aiohttp.ClientSession") -> None:
        place = self._places.pop(server, None) or Place(Ed25519PrivateKey.generate())
        self._places[server] = place
        if len(self._places) > _PLACES_LIMIT:
            del self._places[next(iter(self._places))]
        visit = Visit(server, self._room_key, place)
        self._visits[server] = visit, self._start(self._visit(visit, http))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run *work* until it ends, or we do; a fault in it ends us."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._is_over)
        return task

    async def _visit(self, visit: Visit, http: "aiohttp.ClientSession") -> None:
        try:
            await visit.run(http, self._entered)
        except Ending as ending:
            if self._visits.get(visit.name, (None,))[0] is visit:
                del self._visits[visit.name]
                self._ended(visit, ending)

    def _is_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()
        self._changed.set()

    async def _end_visits(self) -> None:
        self._visits.clear()
        self._used = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _entered(self, visit: Visit) -> None:
        self._rota.entered(visit.name, asyncio.get_running_loop().time())
        self._reasons.pop(visit.name, None)
        self._consider(visit)
        self._changed.set()

    def _consider(self, visit: Visit) -> None:
        """Use *visit* if it is better than the one in use, and nobody is left behind by that."""
        used = self._used
        if used is None:
            self._use(visit)
        elif self._rota.is_better(used.name, visit.name):
            self._leave(visit)  # both were tried, and the better one answered first
        elif visit.members or not used.members:
            self._use(visit)
            self._leave(used)
        else:
            visit.take = lambda _: self._consider(visit)

    def _use(self, visit: Visit) -> None:
        welcome = visit.welcome
        assert welcome is not None, "a visit is used once it is inside"
        self._used, self._rota.used, self._told = visit, visit.name, None
        visit.take = self._take
        self._lent.take(welcome.ice_servers, welcome.ttl)
        motd = "".join(letter for letter in welcome.motd[:_MOTD_LIMIT] if letter.isprintable())
        called = welcome.server[:_MOTD_LIMIT]
        self._emit(ServerEntered(visit.address, tuple(visit.members), motd, visit.name, called=called))

    def _leave(self, visit: Visit) -> None:
        """Say goodbye to a server that is not needed."""
        now = asyncio.get_running_loop().time()
        self._visits.pop(visit.name, None)
        self._places.pop(visit.name, None)
        self._rota.given_up(visit.name, now)
        visit.take = None
        visit.leave()

    def _take(self, message: Message) -> None:
        match message:
            case messages.Relayed(address, payload):
                self._on_relay(address, payload)
            case messages.IceServers():
                self._lent.take(message.ice_servers, message.ttl)
            case messages.Declined():
                self._lent.put_off(message.retry_after_ms / 1000)
            case messages.Joined() | messages.Back():
                self._emit(MemberJoined(to_address(message.address)))
            case messages.Away():
                self._emit(MemberAway(to_address(message.address)))
                self._somebody_went()
            case messages.Left() | messages.PeerGone():
                self._emit(MemberLeft(to_address(message.address)))
                self._somebody_went()
            case _:
                pass  # newer servers may say more

    def _somebody_went(self) -> None:
        """Perhaps to a better server: be there as soon as they are."""
        self._rota.hurry(asyncio.get_running_loop().time())
        for visit in self._inside():
            self._consider(visit)
        self._changed.set()

    def _inside(self) -> list[Visit]:
        """The visits that could be used, but for the one that is."""
        visits = [visit for visit, _ in self._visits.values() if visit is not self._used]
        return [visit for visit in visits if self._rota.state(visit.name) is State.INSIDE]

    # --- between visits -----------------------------------------------------------------------------------

    def _ended(self, visit: Visit, ending: Ending) -> None:
        now = asyncio.get_running_loop().time()
        self._rota.ended(visit.name, now, final=ending.final, wait=ending.wait)
        self._reasons[visit.name] = f"the server {visit.server.name}: {ending.reason}"
        if visit is self._used:
            self._used = self._rota.used = None
            inside = [
                each for each, _ in self._visits.values() if self._rota.state(each.name) is State.INSIDE
            ]
            if inside:
                self._use(inside[0])
            else:
                self._tell()
        elif self._used is None and not self._rota.is_trying(now):
            self._tell()

    def _sentence(self) -> str:
        """Why we are nowhere, in the order of the servers."""
        return "; ".join(self._reasons[each] for each in self._candidates() if each in self._reasons)

    def _tell(self) -> None:
        """Say that we are out, once for each time and reason."""
        sentence = self._sentence()
        if sentence != self._told:
            self._told = sentence
            self._emit(ServerLost(sentence))


def _import_aiohttp() -> ModuleType:
    import aiohttp

    return aiohttp
