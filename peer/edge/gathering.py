"""Finds our addresses for one attempt while it is under way, and tells each as soon as it is known.

aioice asks one STUN and one TURN server and waits for both; here the description goes out with our own
addresses, all STUN servers are asked at once, and TURN is climbed rung by rung as the core ordered it.
A server that is dead costs nothing but the address that it would have told us.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from peer.core.advice import NO_TURN, TURN_REFUSES
from peer.core.events import TurnReached, TurnRefused
from peer.core.ladder import Means, Rung
from peer.edge.allocation import Relayed, allocate, give_back
from peer.edge.ice import give_up_only_if, reconsider
from peer.edge.ice_servers import Servers
from peer.edge.racing import first

if TYPE_CHECKING:
    from aioice import Candidate, Connection
    from aioice.ice import StunProtocol

__all__ = ["GATHER_SECONDS", "Gathering"]

GATHER_SECONDS: Final = 6.0
"""For all answers of one attempt; nobody waits for it, it only ends the asking."""

SERVER_SECONDS: Final = 2.5
"""For one TURN server to make an allocation: TCP, TLS and two questions on a slow line."""

SERVERS_PER_KIND: Final = 3
"""Of one kind, so many are asked; more would be asked when the attempt is over."""

RELEASE_AFTER: Final = 12.0
RELEASE_IDLE: Final = 7.0
"""Seconds after a path has opened when an allocation that was idle for so long (longer than the time between
two consent checks, RFC 7675) is given back: it takes part of a quota and would be kept alive for ever."""


class Gathering:
    """What is found for one attempt, beyond the addresses of this machine.

    *found* is told each candidate as the value of its SDP attribute, and once, at the end, `None`;
    *reached* over which kind of transport a TURN server gave an address, or that one refused.  Both must
    return at once.
    """

    def __init__(
        self,
        connection: "Connection",
        servers: Servers,
        means: Means,
        *,
        found: Callable[[str | None], None],
        reached: Callable[[TurnReached | TurnRefused], None],
    ) -> None:
        self._connection = connection
        self._servers = servers
        self._means = means
        self._found = found
        self._reached = reached
        self._told: set[tuple[str, int]] = set()
        self._relays: dict[StunProtocol, float] = {}
        self._has_climbed = False
        self._code: int | None = None
        self._is_asking = False
        give_up_only_if(connection, lambda: not self._is_asking)

    @property
    def has_work(self) -> bool:
        """Whether there is any server to ask."""
        return bool((self._means.stun and self._stun_servers()) or self._rungs())

    async def run(self) -> None:
        """Ask everybody; ends when all have answered, or after `GATHER_SECONDS`."""
        self._is_asking = True
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._ask()
        finally:
            self._is_asking = False
        self._found(None)
        reconsider(self._connection)

    async def _ask(self) -> None:
        work: list[Coroutine[Any, Any, None]] = [self._climb()]
        if self._means.stun:
            work += [self._reflect(protocol) for protocol in self._hosts()]
        await asyncio.gather(*work)

    # --- STUN -----------------------------------------------------------------------------------------

    def _stun_servers(self) -> Sequence[tuple[str, int]]:
        # a TURN server answers the questions for STUN too (RFC 8656 section 3)
        udp = [(server.host, server.port) for server in self._servers.turn if server.kind == "udp"]
        return list(dict.fromkeys([*self._servers.stun, *udp]))[:SERVERS_PER_KIND]

    def _hosts(self) -> list["StunProtocol"]:
        protocols = [p for p in self._connection._protocols if p.local_candidate.type == "host"]
        addresses = [(p, ipaddress.ip_address(p.local_candidate.host)) for p in protocols]
        return [p for p, address in addresses if address.version == 4 and not address.is_loopback]

    async def _reflect(self, protocol: "StunProtocol") -> None:
        """Learn how others see one of our sockets, from whichever server answers first."""
        from aioice.ice import server_reflexive_candidate

        asking = [server_reflexive_candidate(protocol, server) for server in self._stun_servers()]
        answer = await first(asking)
        if answer is not None:
            self._tell(answer[0])

    def _tell(self, candidate: "Candidate") -> None:
        own = {(p.local_candidate.host, p.local_candidate.port) for p in self._connection._protocols}
        address = (candidate.host, candidate.port)
        if address not in self._told and (candidate.type == "relay" or address not in own):
            self._told.add(address)
            self._found(candidate.to_sdp())

    # --- TURN -----------------------------------------------------------------------------------------

    def _rungs(self) -> list[Rung]:
        kinds = {server.kind for server in self._servers.turn}
        return [] if self._has_climbed else [rung for rung in self._means.turn if rung.kind in kinds]

    async def relayed(self) -> list["Candidate"]:
        """Our address at a TURN server, for a description that shows no other; empty if none answers."""
        answer = await first([self._try(rung) for rung in self._rungs()], spare=give_back)
        self._has_climbed = True
        if answer is None:
            return []
        candidate, protocol = answer
        if self._connection._closing:
            await protocol.close()
            return []
        self._use(candidate, protocol)
        self._connection._protocols.append(protocol)
        return [candidate]

    async def _climb(self) -> None:
        if await self.relayed():
            for remote in self._connection._remote_candidates:
                self._connection._pair_remote_candidate(remote)
            self._connection.sort_check_list()

    async def _try(self, rung: Rung) -> Relayed:
        await asyncio.sleep(rung.after)
        for server in [each for each in self._servers.turn if each.kind == rung.kind][:SERVERS_PER_KIND]:
            with contextlib.suppress(Exception):  # what the library raises for a server's answer is anything
                async with asyncio.timeout(SERVER_SECONDS):
                    relayed = await allocate(self._connection, server, self._refused)
                self._reached(TurnReached(rung.kind))
                return relayed
        raise ConnectionError(f"no TURN server answers over {rung.kind}")

    def _refused(self, code: int) -> None:
        self._code = code
        self._reached(TurnRefused(code))

    @property
    def why_no_relay(self) -> str:
        """Why there is no address at a TURN server, for people."""
        return NO_TURN if self._code is None else f"{TURN_REFUSES} (error {self._code})"

    def _use(self, candidate: "Candidate", protocol: "StunProtocol") -> None:
        """Tell of an address at a TURN server, and note when it is used."""
        loop = asyncio.get_running_loop()
        take = protocol.datagram_received

        def noted(data: bytes | str, address: tuple[Any, ...]) -> None:
            self._relays[protocol] = loop.time()
            take(data, address)

        self._relays[protocol] = loop.time()
        replace: Callable[[object, str, object], None] = setattr
        replace(protocol, "datagram_received", noted)
        self._tell(candidate)

    async def release(self) -> None:
        """Once the path is open: wait, then give back what it does not go through."""
        await asyncio.sleep(RELEASE_AFTER)
        now = asyncio.get_running_loop().time()
        nominated = {pair.protocol for pair in self._connection._nominated.values()}
        for protocol, used in list(self._relays.items()):
            if protocol not in nominated and now - used >= RELEASE_IDLE and not self._connection._closing:
                self._connection._protocols.remove(protocol)
                await protocol.close()
