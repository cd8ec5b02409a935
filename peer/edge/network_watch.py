"""Notices that this machine came to another network, or woke up, and says so at once.

Three signs are watched: the system tells of changed addresses and routes (netlink, on Linux); the list of
addresses is read every few seconds (everywhere, because not every system tells); and the clock jumps when a
machine has slept or a process was stopped.  What was connected before is then checked, and what failed
before is tried again, without waiting for a timer to run out.
"""

import asyncio
import contextlib
import hashlib
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from peer.core.events import NetworkChanged
from peer.edge.lan.interfaces import adapters
from peer.edge.own_addresses import unready

__all__ = ["LOOK_EVERY", "SETTLE_SECONDS", "SLEPT_SECONDS", "Clocks", "NetworkWatch", "network_tag"]

LOOK_EVERY: Final = 2.0
"""Seconds between two looks; reading the addresses takes a tenth of a millisecond."""

SETTLE_SECONDS: Final = 0.3
"""After the first word of a change: addresses, routes and links change one after the other."""

SLEPT_SECONDS: Final = 10.0
"""A jump of so much is no busy loop and no correction of the clock, which goes by fractions of a second."""

_ROUTES: Final = Path("/proc/net/route")
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, addresses and routes of both kinds (RTMGRP_* in <linux/rtnetlink.h>)."""

_READ_SIZE: Final = 64 * 1024


class Clocks:
    """Tells a sleep from ordinary time by three clocks of which not all go on meanwhile."""

    def __init__(self, read: Callable[[], tuple[float, float, float]] | None = None) -> None:
        self._read = read or _read_clocks
        self._before = self._read()

    def slept(self) -> bool:
        """Whether the machine slept, or this process did not run, since the last call."""
        before, self._before = self._before, self._read()
        run, wall, boot = (now - then for now, then in zip(self._before, before, strict=True))
        return run - LOOK_EVERY > SLEPT_SECONDS or wall - run > SLEPT_SECONDS or boot - run > SLEPT_SECONDS


class NetworkWatch:
    """Tells `NetworkChanged` for the network that we are on, and again whenever that changes or we slept.

    *tell* must return at once.  Use it as `async with`.
    """

    def __init__(
        self, tell: Callable[[NetworkChanged], None], *, tag: Callable[[], bytes] | None = None
    ) -> None:
        self._tell = tell
        self._read_tag = tag or network_tag
        self._tag = b""
        self._clocks = Clocks()
        self._word = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._netlink: socket.socket | None = None

    async def __aenter__(self) -> "NetworkWatch":
        self._look()
        self._netlink = _netlink()
        if self._netlink is not None:
            asyncio.get_running_loop().add_reader(self._netlink, self._hear)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._netlink is not None:
            asyncio.get_running_loop().remove_reader(self._netlink)
            self._netlink.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _hear(self) -> None:
        assert self._netlink is not None
        with contextlib.suppress(OSError):  # also that there was more than its buffer holds: a change it is
            while self._netlink.recv(_READ_SIZE):
                pass
        self._word.set()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._word.wait()
                    await asyncio.sleep(SETTLE_SECONDS)
            self._word.clear()
            self._look()

    def _look(self) -> None:
        woke = self._clocks.slept()
        tag = self._read_tag()
        if woke or tag != self._tag:
            self._tag = tag
            self._tell(NetworkChanged(tag, woke))


def network_tag() -> bytes:
    """Eight bytes that are equal when our addresses and the ways out are the same."""
    return hashlib.blake2b("\n".join(sorted(_signs())).encode(), digest_size=8).digest()


def _signs() -> Iterator[str]:
    """What makes a network this one; of IPv6 the prefix, because the rest changes for privacy's sake.

    An address that cannot be used yet is none: when it can, that is a change, and paths are looked for again.
    """
    waiting = unready()
    for adapter in adapters():
        for each in adapter.ips:
            address = ipaddress.ip_address(each.ip if isinstance(each.ip, str) else each.ip[0])
            if address.is_loopback or (address.version == 6 and address.is_link_local) or address in waiting:
                continue
            bits = 64 if address.version == 6 else 32
            network = ipaddress.ip_network((address, bits), strict=False)
            yield f"{adapter.nice_name} {network}"
    yield from _default_routes()


def _default_routes() -> Iterator[str]:
    """The ways out of this network (IPv4), where the system shows them in a file."""
    with contextlib.suppress(OSError):
        for line in _ROUTES.read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) > 2 and fields[1] == "00000000":
                yield f"{fields[0]} via {fields[2]}"


def _netlink() -> socket.socket | None:
    """A socket that tells of changes, where there is such a thing."""
    family = getattr(socket, "AF_NETLINK", None)
    if family is None:
        return None
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    except OSError:
        return None
    try:
        opened.bind((0, _GROUPS))
    except OSError:
        opened.close()
        return None
    return opened


def _read_clocks() -> tuple[float, float, float]:
    run = time.monotonic()
    boot_clock = getattr(time, "CLOCK_BOOTTIME", None)
    return run, time.time(), run if boot_clock is None else time.clock_gettime(boot_clock)
