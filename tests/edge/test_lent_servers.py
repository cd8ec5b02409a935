"""The list that a server lent us: renewed in time, taken back in time; both clocks are ours to turn."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from peer.edge.lent_servers import LentServers
from signaling.messages import IceServer

PATIENCE = 10.0
STUN = IceServer(("stun:s",))
TURN = IceServer(("turn:t",), "1:a", "b")


class Desk:
    """A list with clocks of its own, and all that it said."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.unix = 1_795_000_000.0
        self.told: list[Sequence[IceServer]] = []
        self.asked = 0
        self.servers = LentServers(
            self.told.append, random.Random(1), clock=lambda: self.now, calendar=lambda: self.unix
        )

    def pass_time(self, seconds: float, *, asleep: float = 0.0) -> None:
        self.now += seconds
        self.unix += seconds + asleep

    def ask(self) -> None:
        self.asked += 1

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.asked < times:
                await asyncio.sleep(0.001)
        assert self.asked == times


@contextlib.asynccontextmanager
async def renewing(desk: Desk) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.servers.renew(desk.ask))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_expired_credentials_are_taken_back_and_stun_stays() -> None:
    desk = Desk()
    desk.servers.take((STUN, TURN), 3600)
    desk.pass_time(3500)
    desk.servers.look()
    assert desk.told == [(STUN, TURN)]
    desk.pass_time(100)
    desk.servers.look()
    desk.servers.look()
    assert desk.told == [(STUN, TURN), (STUN,)]


async def test_what_is_older_than_a_sleep_is_taken_back_at_once() -> None:
    desk = Desk()
    desk.servers.take((TURN,), 3600)
    desk.pass_time(1, asleep=60)
    desk.servers.look()
    assert desk.told == [(TURN,), ()]


async def test_a_list_that_never_expires_stays_whatever_happens_and_is_never_asked_for() -> None:
    desk = Desk()
    desk.servers.take((TURN,), 0)
    async with renewing(desk):
        desk.pass_time(1e6, asleep=1e6)
        desk.servers.look()
        await asyncio.sleep(0)
    assert desk.told == [(TURN,)]
    assert desk.asked == 0


async def test_a_new_list_is_asked_for_around_half_of_its_life() -> None:
    desk = Desk()
    desk.servers.take((TURN,), 100)
    desk.pass_time(51)
    async with renewing(desk):
        await desk.until_asked(1)
        desk.servers.take((STUN, TURN), 100)
        assert desk.told == [(TURN,), (STUN, TURN)]


async def test_a_new_list_is_asked_for_when_the_machine_has_slept() -> None:
    desk = Desk()
    desk.servers.take((TURN,), 3600)
    desk.pass_time(1, asleep=600)
    async with renewing(desk):
        await desk.until_asked(1)
    assert desk.told == [(TURN,), ()]


async def test_a_server_that_puts_us_off_is_not_asked_before() -> None:
    desk = Desk()
    desk.servers.take((TURN,), 4)
    desk.pass_time(2.5)
    async with renewing(desk):
        await desk.until_asked(1)
        desk.servers.put_off(30)
        desk.pass_time(29)
        desk.servers.look()  # it has expired meanwhile
        assert desk.told == [(TURN,), ()]
    async with renewing(desk):
        await asyncio.sleep(0.01)
        assert desk.asked == 1
        desk.pass_time(2)
    async with renewing(desk):
        await desk.until_asked(2)


async def test_what_was_put_by_is_as_old_as_it_is() -> None:
    """The list of a second server counts from when it came, not from when that server is used."""
    desk = Desk()
    given = desk.servers.moment()
    desk.pass_time(60)
    desk.servers.take((STUN, TURN), 100, given)
    assert desk.told == [(STUN, TURN)]
    async with renewing(desk):
        await desk.until_asked(1)
    desk.servers.take((STUN, TURN), 61, given)
    assert desk.told[1:] == [(STUN,)]
    desk.pass_time(0, asleep=10)
    desk.servers.take((STUN, TURN), 3600, given)
    assert desk.told[2:] == [(STUN,)]
