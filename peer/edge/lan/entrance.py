"""The local network as a running session sees it: loaded when it is needed, and silent when it fails."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from peer.core.events import Event, MemberJoined, ServerEntered
from peer.core.notices import Warned
from peer.edge.lan.memory import recall, remember

if TYPE_CHECKING:
    from peer.edge.lan.service import Lan
    from peer.edge.node import Plan

__all__ = ["ALONE_SECONDS", "LAN_SECONDS", "Entrance", "first_word"]

ALONE_SECONDS: Final = 4.0
"""After which a joiner without a server is told what helps; on a working network one second is enough."""
LAN_SECONDS: Final = 2.0
"""For members on the local network to be found when the server cannot be reached."""

_ALONE: Final = (
    "nobody of this session was found on this network yet; Weft goes on looking. Is the other side running, "
    "and on the same network? `weft status` there shows its address, for  weft join LINK --at HOST:PORT"
)


class Entrance:
    """Finds members of a session on local networks, and lets them find us.

    Args:
        plan: the session's secret, where we remember where members were, and where a person says they are.
        emit: is told what happens in every room that we are in.
        on_relay: is given what comes through these rooms.
        warn: is told what the person should know.

    Attributes:
        met: set as soon as somebody was there.
    """

    def __init__(
        self,
        plan: "Plan",
        *,
        emit: Callable[[Event], None],
        on_relay: Callable[[bytes, bytes], None],
        warn: Callable[[Warned], None],
        rng: random.Random,
    ) -> None:
        self.met = asyncio.Event()
        self._emit = emit
        self._on_relay = on_relay
        self._warn = warn
        self._plan = plan
        self._rng = rng
        # who shares waits for others anyway, and with a server there is another way to be found
        self._complains = not plan.servers and plan.record.owner_seed is None
        self._lan: Lan | None = None

    async def run(self) -> None:
        """Begin; returns when there is nothing to wait for any more."""
        try:
            await self._begin()
        except Exception as error:  # a session is worth having without this
            self._warn(Warned("W-LAN", f"nobody can be found on this network by itself: {error!r}"))
            return
        if self._complains:
            await self._complain_if_alone()

    async def _begin(self) -> None:
        lan_class = await asyncio.to_thread(_load)
        self._lan = lan_class(
            self._plan.record.secret,
            recall(self._plan.store),
            emit=self._event,
            on_relay=self._on_relay,
            keep=partial(remember, self._plan.store),
            warn=self._warn,
            rng=self._rng,
            at=self._plan.at,
            announces=self._plan.lan,
        )
        await self._lan.start()

    async def _complain_if_alone(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.met.wait(), ALONE_SECONDS)
        if not self.met.is_set():
            self._warn(Warned("W-ALONE", _ALONE))

    def look_again(self) -> None:
        """The network has changed, or the machine woke up."""
        if self._lan is not None:
            self._lan.look_again()

    def send_relay(self, address: bytes, payload: bytes) -> None:
        """Send *payload* to *address*, which begins with the mark of its room."""
        if self._lan is not None:
            self._lan.send_relay(address, payload)

    def status(self) -> dict[str, object]:
        """Where others find us, for `--at`, and how many of their rooms we are in."""
        if self._lan is None:
            return {"at": [], "found": 0}
        return {"at": self._lan.endpoints, "found": self._lan.found}

    async def aclose(self) -> None:
        """Withdraw what was announced, and leave."""
        if self._lan is not None:
            await self._lan.aclose()

    def _event(self, event: Event) -> None:
        if isinstance(event, MemberJoined) or (isinstance(event, ServerEntered) and event.members):
            self.met.set()
        self._emit(event)


async def first_word(of_server: asyncio.Future[str | None], lan: Entrance | None) -> str | None:
    """Wait until we are with somebody, or know why not.

    *of_server* is why its room could not be entered, or `None` if it was.  Whoever is met on the local
    network, at once or within `LAN_SECONDS` after that, does as well.
    """
    if lan is None:
        return await asyncio.shield(of_server)
    met = asyncio.create_task(lan.met.wait())
    try:
        waiting: set[asyncio.Future[Any]] = {of_server, met}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        reason = of_server.result() if of_server.done() else None
        if reason is not None:
            await asyncio.wait({met}, timeout=LAN_SECONDS)
        return None if met.done() else reason
    finally:
        met.cancel()


def _load() -> "type[Lan]":
    from peer.edge.lan.service import Lan  # brings a server along: 200 ms that the loop need not stand still

    return Lan
