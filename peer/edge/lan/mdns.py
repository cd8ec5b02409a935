"""Our announcements by DNS-SD over multicast DNS (RFC 6762, 6763); the only module that knows zeroconf.

The library is given random names for the service and for the host, so nothing of this machine's own name is
sent.  It is loaded late and in a thread, because that takes longer than the beacon needs to find somebody.
"""

import asyncio
import contextlib
import logging
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from peer.core.networks import Interface

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, ServiceStateChange, Zeroconf

__all__ = ["SERVICE_TYPE", "Mdns"]

SERVICE_TYPE: Final = "_weft._tcp.local."
ASK_MILLISECONDS: Final = 1500
"""For a service to tell its port and addresses: three questions of the library."""
CLOSE_SECONDS: Final = 1.0
"""For the three goodbyes that the library sends."""
ASKING_LIMIT: Final = 64
"""Services asked for their addresses at a time; a network with more has other ways to find us."""

_HOST_BYTES: Final = 8

Found = Callable[[str, int, Mapping[str, str | None], Sequence[str]], None]
"""Takes the name of a service, its port, its attributes and its addresses."""


class Mdns:
    """One service of ours, and everybody else's, on some interfaces.

    Made by `open`; *found* and *gone* are called in the event loop.
    """

    def __init__(self, found: Found, gone: Callable[[str], None]) -> None:
        self._found = found
        self._gone = gone
        self._asking: set[asyncio.Task[None]] = set()
        self._zeroconf: Any = None
        self._browser: Any = None
        self._info: Any = None

    async def open(self, interfaces: Sequence[Interface]) -> None:
        """Listen on *interfaces*.

        Raises:
            OSError: the system does not allow it.
        """
        library = await asyncio.to_thread(_load)
        self._zeroconf = library.AsyncZeroconf(interfaces=_choice(interfaces))
        await self._zeroconf.zeroconf.async_wait_for_start()
        self._browser = library.AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._changed]
        )

    async def announce(
        self, name: str, port: int, txt: Mapping[str, str], interfaces: Sequence[Interface]
    ) -> None:
        """Announce our service, or announce it again with other attributes.

        Raises:
            OSError: nothing can be sent.
        """
        from zeroconf.asyncio import AsyncServiceInfo

        host = secrets.token_hex(_HOST_BYTES) if self._info is None else str(self._info.server).split(".")[0]
        info = AsyncServiceInfo(
            SERVICE_TYPE,
            f"{name}.{SERVICE_TYPE}",
            port=port,
            properties=dict(txt),
            server=f"{host}.local.",
            addresses=_packed(interfaces),
        )
        if self._info is None:
            # a random name clashes with nobody, so nobody needs to be asked first
            await (await self._zeroconf.async_register_service(info, cooperating_responders=True))
        else:
            await (await self._zeroconf.async_update_service(info))
        self._info = info

    async def close(self) -> None:
        """Withdraw our service and stop listening; takes `CLOSE_SECONDS` at most."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        if self._zeroconf is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._browser is not None:
                    await self._browser.async_cancel()
                await self._zeroconf.async_unregister_all_services()
                await self._zeroconf.async_close()

    def _changed(
        self, zeroconf: "Zeroconf", service_type: str, name: str, state_change: "ServiceStateChange"
    ) -> None:
        if state_change.name == "Removed":
            self._gone(_instance(name))
        elif len(self._asking) < ASKING_LIMIT:
            task = asyncio.create_task(self._ask(zeroconf, service_type, name))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, zeroconf: "Zeroconf", service_type: str, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(service_type, name)
        if await info.async_request(zeroconf, ASK_MILLISECONDS):
            self._tell(name, info)

    def _tell(self, name: str, info: "ServiceInfo") -> None:
        attributes = dict(info.decoded_properties)
        self._found(_instance(name), info.port or 0, attributes, info.parsed_scoped_addresses())


def _load() -> Any:
    import zeroconf.asyncio

    # It warns of every packet of others that it does not understand.
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
    return zeroconf.asyncio


def _choice(interfaces: Sequence[Interface]) -> list[str | int]:
    addresses: list[str | int] = [address for each in interfaces for address, _ in each.ipv4[:1]]
    return addresses + [each.index for each in interfaces if each.link_local]


def _packed(interfaces: Sequence[Interface]) -> list[bytes]:
    outward = [each for each in interfaces if not each.is_loopback] or list(interfaces)
    packed = []
    for address in (address for each in outward for address in each.addresses):
        bare = address.partition("%")[0]
        packed.append(socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare))
    return packed


def _instance(name: str) -> str:
    return name.removesuffix(f".{SERVICE_TYPE}")
