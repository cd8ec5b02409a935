"""Our connections to room servers on the local network, each under a number.

A visit tries all addresses of one server together and takes the first that answers.  It ends once: when it
fails, is over, or is left; coming back is another visit, which `peer.core.candidates` decides about.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import random
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.candidates import Endpoint
from peer.core.events import Event, MemberAway, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.core.ids import ADDRESS_SIZE
from peer.edge.lan.interfaces import index_of
from peer.edge.signaling_client import SignalingClient

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ENTER_SECONDS", "Visit"]

ENTER_SECONDS: Final = 4.0
"""For a server on the local network to let us in; one that takes longer is not there."""
STAGGER_SECONDS: Final = 0.1
"""Between two addresses of one server (RFC 8305 section 5): a dead one costs no more than this."""


class Visit:
    """One connection to one server.

    Args:
        number: what the room is called here; stands before each address in it.
        endpoints: where the server may be.
        emit: is told `ServerEntered`, `MemberJoined` and `MemberLeft`, with addresses so marked.
        ended: called once, unless the visit was closed.
        enters: asked with the server's name for itself whether to stay.
        own_link_local: our link-local address on the interface of this number.
    """

    def __init__(
        self,
        number: int,
        endpoints: Sequence[Endpoint],
        room_key: Ed25519PrivateKey,
        *,
        emit: Callable[[Event], None],
        on_relay: Callable[[bytes, bytes], None],
        enters: Callable[[str], bool],
        ended: Callable[[], None],
        own_link_local: Callable[[int], str | None],
        rng: random.Random,
    ) -> None:
        self._room = bytes((number,))
        self._emit = emit
        self._on_relay = on_relay
        self._enters = enters
        self._ended = ended
        self._sockets: list[socket.socket] = []
        self._has_entered = False
        self._is_over = False
        self._endpoints = tuple(endpoints)
        self._own_link_local = own_link_local
        self._client = SignalingClient(
            (f"http://weft.local:{endpoints[0].port}",),
            room_key,
            self._event,
            lambda address, payload: self._on_relay(self._room + address, payload),
            rng=rng,
            connector=self._connector,
        )
        self._task = asyncio.create_task(self._run())

    @property
    def local_host(self) -> str | None:
        """The address of ours that the connection goes out from, once it stands."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                if self._has_entered and each.fileno() >= 0:
                    host = str(each.getsockname()[0])
                    return host.removeprefix("::ffff:").partition("%")[0]
        return None

    def send_relay(self, address: bytes, payload: bytes) -> None:
        """Send *payload* to *address*, which begins with our mark."""
        self._client.send_relay(address[-ADDRESS_SIZE:], payload)

    async def close(self) -> None:
        """Leave, after what waits; nothing more is told."""
        self._is_over = True
        await self._client.aclose()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        watch = asyncio.get_running_loop().call_later(ENTER_SECONDS, self._give_up)
        try:
            await self._client.run()
        finally:
            watch.cancel()
        self._over()

    def _give_up(self) -> None:
        if not self._has_entered:
            self._over()

    def _over(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended()

    def _event(self, event: Event) -> None:
        if self._is_over:
            return
        match event:
            case ServerEntered():
                self._enter(event)
            case ServerLost():
                self._over()
            case MemberJoined() | MemberAway() | MemberLeft():
                self._emit(dataclasses.replace(event, address=self._room + event.address))
            case _:
                pass

    def _enter(self, event: ServerEntered) -> None:
        if not self._enters(event.called):
            return
        self._has_entered = True
        members = tuple(self._room + member for member in event.members)
        self._emit(ServerEntered(self._room + event.address, members, path="lan"))

    # --- finding the server's socket --------------------------------------------------------------------

    def _connector(self) -> "aiohttp.BaseConnector":
        import aiohttp

        return aiohttp.TCPConnector(
            resolver=_resolver(self._endpoints),
            use_dns_cache=False,
            happy_eyeballs_delay=STAGGER_SECONDS,
            interleave=1,
            socket_factory=self._socket,
        )

    def _socket(self, info: Any) -> socket.socket:
        """A socket for one address; the scope of a link-local one is not among what we are told."""
        family, kind, protocol, _, address = info
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        scope = self._scope(str(address[0]))
        own = self._own_link_local(scope) if scope else None
        if own is not None:
            with contextlib.suppress(OSError):  # then connecting fails too, and is reported there
                made.bind((own, 0, 0, scope))
        self._sockets.append(made)
        return made

    def _scope(self, host: str) -> int:
        for endpoint in self._endpoints:
            bare, _, scope = endpoint.host.partition("%")
            if bare == host and scope:
                return index_of(scope)
        return 0


async def _numeric(endpoint: Endpoint) -> list[Endpoint]:
    """*endpoint* itself, or what a name that a person gave stands for."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(endpoint.host)
        return [endpoint]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    return [Endpoint(str(address[0]), endpoint.port) for *_, address in found]


def _resolver(endpoints: Sequence[Endpoint]) -> Any:
    """Answers every question with *endpoints*."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Endpoints(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            numeric = [each for endpoint in endpoints for each in await _numeric(endpoint)]
            return [_result(host, endpoint) for endpoint in numeric]

        async def close(self) -> None:
            """Nothing is open."""

    def _result(name: str, endpoint: Endpoint) -> ResolveResult:
        bare = endpoint.host.partition("%")[0]
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        return ResolveResult(
            hostname=name, host=bare, port=endpoint.port, family=family, proto=0, flags=socket.AI_NUMERICHOST
        )

    return Endpoints()
