"""Being found on local networks, and finding others there, for one running session.

Everybody does the same: runs a room server, announces it, listens for those of others, and enters them.
Nothing here is needed for a session to run: what a network or system refuses costs one warning.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Final

from peer.core import candidates
from peer.core.announcement import (
    INSTANCE_SIZE,
    NONCE_SIZE,
    Announcement,
    read_beacon,
    read_txt,
    write_beacon,
    write_txt,
)
from peer.core.candidates import Candidates, Endpoint, EnterRoom, Heard, LeaveRoom, Remember, Withdrawn
from peer.core.events import Event, ServerLost
from peer.core.invitation import lan_key, lan_room_key
from peer.core.networks import Interface, sensible
from peer.core.notices import Warned
from peer.edge.lan.beacon import Beacon
from peer.edge.lan.hosting import Hosting
from peer.edge.lan.interfaces import list_interfaces
from peer.edge.lan.mdns import Mdns
from peer.edge.lan.memory import Memory
from peer.edge.lan.visits import Visit

__all__ = ["ANNOUNCE_EVERY", "BURST", "LOOK_EVERY", "Lan"]

LOOK_EVERY: Final = 3.0
"""Seconds between looks at the interfaces: as long as a person waits before plugging a cable in again."""
ANNOUNCE_EVERY: Final = 30.0
"""Seconds: three of these fit into the time after which somebody who is not heard is forgotten."""
BURST: Final = (0.0, 0.1, 0.4, 1.5)
"""Seconds between the first announcements on a network: the first may be lost while a switch wakes up."""
ANSWER_EVERY: Final = 1.0
"""Seconds between two answers to one announcer, so that nobody can have us send more than they do."""
ANSWERED_LIMIT: Final = 256
"""Announcers whose last answer is known; the oldest is forgotten first."""
WAKE_SECONDS: Final = 5.0
"""The clocks differing by this much, or a look coming so much too late, means that the machine slept."""

_OWN_ROOM: Final = 1
_SERVER_NAME: Final = "weft-lan/"

Work = Coroutine[Any, Any, None]


class Lan:
    """One session on all sensible interfaces of this machine.

    *emit* is told `ServerEntered`, `ServerLost`, `MemberJoined` and `MemberLeft` of every room entered, with
    addresses that begin with a mark of the room; *on_relay* is given what comes through them.  *keep* is
    given what should be remembered, *warn* what the person should know.  *at* is where a person says that a
    member is; with *announces* false we go there only.  *look* lists the interfaces.
    """

    def __init__(
        self,
        secret: bytes,
        memory: Memory,
        *,
        emit: Callable[[Event], None],
        on_relay: Callable[[bytes, bytes], None],
        keep: Callable[[Memory], None],
        warn: Callable[[Warned], None],
        rng: random.Random,
        at: Sequence[Endpoint] = (),
        announces: bool = True,
        look: Callable[[], list[Interface]] = list_interfaces,
    ) -> None:
        self._key = lan_key(secret)
        self._room_key = lan_room_key(secret)
        self._memory = memory
        self._emit = emit
        self._on_relay = on_relay
        self._keep = keep
        self._warn = warn
        self._rng = rng
        self._at = at
        self._announces = announces
        self._list_interfaces = look
        self._instance = os.urandom(INSTANCE_SIZE)
        self._candidates = Candidates(self._instance, partial(rng.uniform, 0.0))
        self._visits: dict[int, Visit] = {}
        self._entered: set[int] = set()
        self._answered: dict[bytes, float] = {}
        self._interfaces: list[Interface] = []
        self._hosting: Hosting | None = None
        self._beacon: Beacon | None = None
        self._mdns: Mdns | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._mdns_turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._look_now = asyncio.Event()
        self._has_warned = False
        self._is_closing = False

    @property
    def port(self) -> int:
        """Where our server listens; 0 if it could not be started."""
        return 0 if self._hosting is None else self._hosting.port

    @property
    def endpoints(self) -> list[str]:
        """What to give to `--at` on other machines, the best first."""
        outward = [each for each in self._interfaces if not each.is_loopback] if self.port else []
        hosts = [address for each in outward for address, _ in each.ipv4]
        hosts += [f"[{address}]" for each in outward for address in each.ipv6]
        return [f"{host}:{self.port}" for host in hosts]

    @property
    def found(self) -> int:
        """How many rooms of others we are in."""
        return len(self._entered - {_OWN_ROOM})

    async def start(self) -> None:
        """Listen, announce, and begin to look for others; returns as soon as the first packet is sent."""
        for endpoint in self._at:
            self._decide(candidates.Named(endpoint, lasting=True))
        if self._announces:
            await self._host()
            for endpoint in self._memory.endpoints:
                self._decide(candidates.Named(endpoint))
            self._move(sensible(self._list_interfaces()))
            self._go(self._look())

    async def _host(self) -> None:
        try:
            hosting = Hosting(_SERVER_NAME + self._instance.hex(), self._memory.port)
            await hosting.start()
        except OSError as error:
            self._warn_once(f"no server can be run for others on this network ({error})")
            return
        self._hosting = hosting
        self._remember(self._memory.endpoints)
        self._visit(EnterRoom(_OWN_ROOM, (Endpoint("127.0.0.1", hosting.port),)))

    def look_again(self) -> None:
        """Something about the network has changed, or the machine woke up: do not wait for the next look."""
        self._look_now.set()

    def send_relay(self, address: bytes, payload: bytes) -> None:
        """Send *payload* to *address*, which begins with the mark of its room; dropped if we left that."""
        visit = self._visits.get(address[0])
        if visit is not None:
            visit.send_relay(address, payload)

    async def aclose(self) -> None:
        """Send what waits, withdraw what was announced, and close everything."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # first what the core had to say: who hears that our server goes leaves its room at once
        await asyncio.gather(*self._leaving, *(visit.close() for visit in self._visits.values()))
        self._send(gone=True)
        if self._mdns is not None:
            await self._mdns.close()
        self._send(gone=True)  # once more, since one packet may be lost
        if self._beacon is not None:
            self._beacon.close()
        if self._hosting is not None:
            await self._hosting.close()

    def _go(self, work: Work) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _warn_once(self, reason: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            advice = "Others are found through a server, or with --at HOST:PORT."
            self._warn(Warned("W-LAN", f"nobody can be found on this network by itself: {reason}. {advice}"))

    # --- interfaces -------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Notice that interfaces came or went, or that the machine slept."""
        steady, wall = time.monotonic(), time.time()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._look_now.wait()
            self._look_now.clear()
            passed, passed_by_wall = time.monotonic() - steady, time.time() - wall
            steady, wall = time.monotonic(), time.time()
            slept = passed > LOOK_EVERY + WAKE_SECONDS or abs(passed_by_wall - passed) > WAKE_SECONDS
            interfaces = sensible(self._list_interfaces())
            if slept or interfaces != self._interfaces:
                self._move(interfaces)

    def _move(self, interfaces: list[Interface]) -> None:
        """Listen and announce on these interfaces from now on."""
        self._interfaces = interfaces
        if self._beacon is not None:
            self._beacon.close()
        self._beacon = Beacon(interfaces, self._hear)
        if self._announcing is not None:
            self._announcing.cancel()
        self._announcing = self._go(self._announce())
        addresses = {address.partition("%")[0] for each in interfaces for address in each.addresses}
        for number, visit in list(self._visits.items()):
            if number != _OWN_ROOM and visit.local_host is not None and visit.local_host not in addresses:
                self._close_visit(number)
                self._decide(candidates.RoomEnded(number))
        self._decide(candidates.NetworkChanged())

    def _own_link_local(self, index: int) -> str | None:
        found = (each.link_local[0] for each in self._interfaces if each.index == index and each.link_local)
        return next(found, None)

    # --- announcing ---------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        """Say that we are here: often at first, then now and then, by both ways."""
        if self._hosting is None:
            return
        for wait in BURST[:2]:
            await asyncio.sleep(wait)
            self._send()
        self._go(self._restart_mdns(self._interfaces))
        for wait in BURST[2:]:
            await asyncio.sleep(wait)
            self._send()
        while True:
            await asyncio.sleep(ANNOUNCE_EVERY)
            self._send()

    def _beacon_packet(self, *, gone: bool = False) -> bytes:
        announcement = Announcement(self._instance, self.port, gone)
        return write_beacon(announcement, self._key, os.urandom(NONCE_SIZE))

    def _send(self, *, gone: bool = False) -> None:
        if self._beacon is not None and self._hosting is not None:
            self._beacon.send(self._beacon_packet(gone=gone))

    async def _restart_mdns(self, interfaces: list[Interface]) -> None:
        """Announce by mDNS with a fresh tag, on the interfaces that are there now."""
        async with self._mdns_turn:
            old, self._mdns = self._mdns, Mdns(self._found, self._lost)
            if old is not None:
                await old.close()
            txt = write_txt(Announcement(self._instance, self.port), self._key, os.urandom(NONCE_SIZE))
            try:
                await self._mdns.open(interfaces)
                await self._mdns.announce(self._instance.hex(), self.port, txt, interfaces)
            except Exception as error:  # whatever the library trips over: the beacon goes on
                self._without_mdns(str(error) or type(error).__name__)

    def _without_mdns(self, problem: str) -> None:
        if self._beacon is not None and not self._beacon.works:
            self._warn_once("; ".join((*self._beacon.problems, problem)))

    # --- hearing ------------------------------------------------------------------------------------------

    def _hear(self, data: bytes, host: str, answer: Callable[[bytes], None]) -> None:
        said = read_beacon(data, self._key)
        if said is None or said.instance == self._instance:
            return
        if said.gone:
            self._decide(Withdrawn(said.instance))
            return
        self._decide(Heard(said.instance, Endpoint(host, said.port)))
        now = time.monotonic()
        if self._hosting is not None and now - self._answered.pop(said.instance, 0.0) >= ANSWER_EVERY:
            answer(self._beacon_packet())
        self._answered[said.instance] = now
        if len(self._answered) > ANSWERED_LIMIT:
            del self._answered[next(iter(self._answered))]

    def _found(self, name: str, port: int, txt: Mapping[str, str | None], addresses: Sequence[str]) -> None:
        said = read_txt(name, port, txt, self._key)
        if said is not None:
            for address in reversed(addresses):  # the last one heard is tried first
                self._decide(Heard(said.instance, Endpoint(address, port)))

    def _lost(self, name: str) -> None:
        with contextlib.suppress(ValueError):
            self._decide(Withdrawn(bytes.fromhex(name)))

    # --- rooms --------------------------------------------------------------------------------------------

    def _decide(self, event: candidates.Event) -> None:
        if self._is_closing:
            return
        now = time.monotonic()
        for order in self._candidates.handle(event, now):
            match order:
                case EnterRoom():
                    self._visit(order)
                case LeaveRoom():
                    self._close_visit(order.number)
                case Remember():
                    self._remember(order.endpoints)
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._candidates.next_deadline()
        if deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(deadline - now, 0.0), self._decide, candidates.Tick())

    def _remember(self, endpoints: tuple[Endpoint, ...]) -> None:
        self._memory = Memory(self.port, endpoints or self._memory.endpoints)
        self._keep(self._memory)

    def _visit(self, order: EnterRoom) -> None:
        number = order.number
        self._visits[number] = Visit(
            number,
            order.endpoints,
            self._room_key,
            emit=self._emit,
            on_relay=self._on_relay,
            enters=lambda server: self._may_enter(number, server),
            ended=lambda: self._ended(number),
            own_link_local=self._own_link_local,
            rng=self._rng,
        )

    def _may_enter(self, number: int, server: str) -> bool:
        if number != _OWN_ROOM:
            self._decide(candidates.RoomEntered(number, _instance_of(server)))
        is_wanted = number in self._visits and not self._is_closing
        if is_wanted:
            self._entered.add(number)
        return is_wanted

    def _ended(self, number: int) -> None:
        self._close_visit(number)
        if number == _OWN_ROOM:
            self._go(self._enter_own_room_again())
        else:
            self._decide(candidates.RoomEnded(number))

    async def _enter_own_room_again(self) -> None:
        await asyncio.sleep(candidates.FIRST_WAIT)
        self._visit(EnterRoom(_OWN_ROOM, (Endpoint("127.0.0.1", self.port),)))

    def _close_visit(self, number: int) -> None:
        visit = self._visits.get(number)
        if visit is None:
            return
        if number in self._entered:
            self._entered.discard(number)
            self._emit(ServerLost("we left this room", bytes((number,))))
        del self._visits[number]
        task = asyncio.create_task(visit.close())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def _instance_of(server: str) -> bytes:
    """The instance in what a member's own server calls itself; empty for any other server."""
    if not server.startswith(_SERVER_NAME):
        return b""
    try:
        instance = bytes.fromhex(server.removeprefix(_SERVER_NAME))
    except ValueError:
        return b""
    return instance if len(instance) == INSTANCE_SIZE else b""
