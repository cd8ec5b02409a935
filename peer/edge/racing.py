"""Asking several at once and taking the first good answer; a server's addresses, above all.

uvloop's `create_connection` tries the addresses of a name one after the other, and a dead one that no error
tells of uses up all patience; so sockets are connected here (RFC 8305, "happy eyeballs").
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain, zip_longest
from typing import Any, Final, TypeVar

__all__ = ["ADDRESSES_LIMIT", "STAGGER_SECONDS", "addresses", "connect", "first"]

STAGGER_SECONDS: Final = 0.25
"""Until the next address is asked as well (RFC 8305 section 5)."""

ADDRESSES_LIMIT: Final = 4
"""Of one name; two of each kind are more than one server needs."""

_PARTING: Final[set[asyncio.Future[None]]] = set()
"""Who is ending what came second; the loop itself holds on to no task."""

_T = TypeVar("_T")
Address = tuple[str, int]


async def _nothing(_: object) -> None:
    """Nothing is to be done with an answer that came second."""


async def first(
    work: Sequence[Coroutine[Any, Any, _T]], spare: Callable[[_T], Coroutine[Any, Any, None]] = _nothing
) -> _T | None:
    """Return what the first of *work* to succeed returns, end the others, and do *spare* with theirs.

    The others end by themselves, a moment later: who has an answer does not wait for that, and who does not
    wait for an answer any more loses none.
    """
    tasks = [asyncio.ensure_future(each) for each in work]
    best: asyncio.Future[_T] | None = None
    try:
        best = await _first_good(tasks)
    finally:
        parting = asyncio.ensure_future(_part([task for task in tasks if task is not best], spare))
        _PARTING.add(parting)
        parting.add_done_callback(_PARTING.discard)
    return None if best is None else best.result()


async def _first_good(tasks: "Sequence[asyncio.Future[_T]]") -> "asyncio.Future[_T] | None":
    waiting = set(tasks)
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in done and not task.cancelled() and task.exception() is None:
                return task
    return None


async def _part(
    tasks: "Sequence[asyncio.Future[_T]]", spare: Callable[[_T], Coroutine[Any, Any, None]]
) -> None:
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        if not isinstance(end, BaseException):
            with contextlib.suppress(Exception):  # what cannot be given back costs the others nothing
                await spare(end)


async def addresses(host: str, port: int) -> list[Address]:
    """The addresses of *host*, best first as the system orders them, IPv4 and IPv6 by turns.

    Raises:
        OSError: the name is not known.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    kinds = {family: [(str(a[0]), port) for f, _, _, _, a in found if f == family] for family, *_ in found}
    by_turns = chain.from_iterable(zip_longest(*kinds.values()))
    return [each for each in dict.fromkeys(by_turns) if each is not None][:ADDRESSES_LIMIT]


async def connect(host: str, port: int) -> socket.socket:
    """A TCP socket that is connected with whichever address of *host* answers first.

    Raises:
        OSError: the name is not known, or why the best of its addresses does not answer.
    """
    errors: dict[int, OSError] = {}

    async def attempt(number: int, address: Address) -> socket.socket:
        await asyncio.sleep(number * STAGGER_SECONDS)
        try:
            return await _connected(address)
        except OSError as error:
            errors[number] = error
            raise

    found = enumerate(await addresses(host, port))
    opened = await first([attempt(number, address) for number, address in found], spare=_hang_up)
    if opened is None:
        raise errors[min(errors)] if errors else ConnectionError(f"{host} has no address")
    return opened


async def _connected(address: Address) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened


async def _hang_up(opened: socket.socket) -> None:
    opened.close()
