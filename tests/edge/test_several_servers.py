"""One room on several servers: over when one fails, back when it works, and nobody is left alone."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.events import Event, MemberAway, MemberJoined, MemberLeft, ServerEntered, ServerLost
from peer.core.rota import State
from peer.edge import visit as visit_module
from peer.edge.endings import Ending
from peer.edge.signaling_client import Candidates, SignalingClient
from peer.errors import UsageError
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.edge.test_signaling_client import let_in, let_in_and_wait, scripted, silence, then_close

PATIENCE = 10.0
ROOM = Ed25519PrivateKey.from_private_bytes(b"r" * 32)
E = TypeVar("E", bound=Event)


class Guest:
    """A client with several servers, and all that it was told."""

    def __init__(self, servers: Sequence[str] | Candidates, seed: int = 1) -> None:
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.relayed: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.client = SignalingClient(
            servers,
            ROOM,
            self.told.put_nowait,
            lambda address, payload: self.relayed.put_nowait((address, payload)),
            rng=random.Random(seed),
        )
        self.run = asyncio.create_task(self.client.run())

    async def next(self, kind: type[E]) -> E:
        """The next event, which must be of this kind."""
        async with asyncio.timeout(PATIENCE):
            event = await self.told.get()
        assert isinstance(event, kind), event
        return event

    async def until(self, kind: type[E]) -> E:
        """The next event of this kind, whatever comes before."""
        async with asyncio.timeout(PATIENCE):
            while not isinstance(event := await self.told.get(), kind):
                pass
        return event

    def break_connection(self) -> None:
        """Lose the connection without a word, as a network does."""
        used = self.client._used
        assert used is not None
        assert used.outbox is not None
        used.outbox.fail(Ending("the network is gone"))


@asynccontextmanager
async def guest(servers: Sequence[str] | Candidates, seed: int = 1) -> AsyncIterator[Guest]:
    made = Guest(servers, seed)
    try:
        yield made
    finally:
        await made.client.aclose()
        assert made.run.done()


def server(port: int = 0) -> RoomServer:
    return RoomServer(Settings(port=port))


async def test_the_first_that_works_is_used_and_named() -> None:
    async with server() as second, AsyncExitStack() as stack:
        gone = await stack.enter_async_context(server())
        dead = gone.url
        await stack.aclose()
        async with guest((dead, second.url)) as ana:
            assert (await ana.next(ServerEntered)).server == second.url
            assert ana.client.server == second.url


async def test_one_that_does_not_answer_holds_nobody_up() -> None:
    async with scripted(silence) as mute, server() as second, guest((mute, second.url)) as ana:
        assert (await ana.next(ServerEntered)).server == second.url


async def test_both_are_over_at_once_when_the_first_dies_and_meet_on_the_second() -> None:
    async with server() as second, AsyncExitStack() as stack:
        first = await stack.enter_async_context(server())
        async with guest((first.url, second.url)) as ana, guest((first.url, second.url), 2) as ben:
            await ana.next(ServerEntered)
            await ben.next(ServerEntered)
            await stack.aclose()
            for each in (ana, ben):
                await each.until(ServerLost)
                assert (await each.until(ServerEntered)).server == second.url
            async with asyncio.timeout(PATIENCE):
                while second._hub.rooms._occupied != 1 or len(second._hub.connections) != 2:
                    await asyncio.sleep(0.01)


async def test_all_move_back_together_when_the_first_works_again_and_nothing_is_interrupted() -> None:
    async with server() as second, AsyncExitStack() as stack:
        async with server() as first:
            port = first.port
        servers = (f"http://127.0.0.1:{port}", second.url)
        async with guest(servers) as ana, guest(servers, 2) as ben, guest(servers, 3) as cy:
            guests = (ana, ben, cy)
            for each in guests:
                assert (await each.until(ServerEntered)).server == second.url
            await stack.enter_async_context(server(port))
            for each in guests:
                event: Event | None = None
                while not isinstance(event, ServerEntered):
                    event = await each.until(Event)  # type: ignore[arg-type]
                    assert not isinstance(event, ServerLost), "entered before the old one is left"
                assert event.server == servers[0]
            assert {each.client.server for each in guests} == {servers[0]}


async def test_nobody_is_alone_on_the_better_server_while_the_others_cannot_reach_it() -> None:
    async with server() as second, server() as first:
        both, only = (first.url, second.url), (second.url,)
        ana_sees: list[str] = [second.url]
        async with guest(lambda: ana_sees) as ana, guest(only, 2) as ben:
            await ana.next(ServerEntered)
            await ben.next(ServerEntered)
            ana_sees[:] = both
            ana.client.look_again()
            async with asyncio.timeout(PATIENCE):
                while ana.client._rota.state(first.url) is not State.INSIDE:
                    await asyncio.sleep(0.01)
            assert ana.client.server == second.url, "ben is here, and nobody is there"
            async with guest((first.url,), 3) as cy:
                await cy.next(ServerEntered)
                entered = await ana.until(ServerEntered)
                assert entered.server == first.url
                assert len(entered.members) == 1


async def test_who_is_alone_moves_to_a_better_server_that_was_found() -> None:
    async with server() as far, server() as near:
        seen = [far.url]
        async with guest(lambda: seen) as ana:
            assert (await ana.next(ServerEntered)).server == far.url
            seen[:] = [near.url, far.url]
            ana.client.look_again()
            assert (await ana.next(ServerEntered)).server == near.url
            async with asyncio.timeout(PATIENCE):
                while far.connections:
                    await asyncio.sleep(0.01)


async def test_a_broken_connection_resumes_and_the_other_sees_no_leaving() -> None:
    async with server() as only, guest((only.url,)) as ana:
        await ana.next(ServerEntered)
        async with guest((only.url,), 2) as ben:
            before = await ben.next(ServerEntered)
            await ana.next(MemberJoined)
            ben.break_connection()
            await ben.next(ServerLost)
            after = await ben.next(ServerEntered)
            assert after.address == before.address
            assert await ana.next(MemberAway) == MemberAway(before.address)
            assert await ana.next(MemberJoined) == MemberJoined(before.address)
            ana.client.send_relay(before.address, b"still you")
            async with asyncio.timeout(PATIENCE):
                assert (await ben.relayed.get())[1] == b"still you"
        assert await ana.next(MemberLeft) == MemberLeft(before.address)


async def test_a_new_network_is_tried_at_once_whatever_the_wait() -> None:
    async with server() as first:
        port = first.port
    async with guest((f"http://127.0.0.1:{port}",)) as ana:
        await ana.next(ServerLost)
        breaker = ana.client._rota._breakers[f"http://127.0.0.1:{port}"]
        breaker.state, breaker.until = State.WAITING, asyncio.get_running_loop().time() + 3600
        async with server(port):
            ana.client.retry_now()
            await ana.until(ServerEntered)


async def test_a_connection_that_died_with_the_old_network_is_noticed_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(visit_module, "_PROBE_SECONDS", 0.2)

    async def fall_asleep(socket: web.WebSocketResponse) -> None:
        await let_in(socket)
        await asyncio.sleep(PATIENCE)

    async with scripted(fall_asleep, let_in_and_wait) as url, guest((url,)) as ana:
        await ana.next(ServerEntered)
        ana.client.retry_now()
        assert "the network is in doubt" in (await ana.next(ServerLost)).reason
        await ana.next(ServerEntered)


async def test_a_connection_that_survived_the_change_is_kept() -> None:
    async with server() as only, guest((only.url,)) as ana:
        await ana.next(ServerEntered)
        used = ana.client._used
        assert used is not None
        heard = used._heard
        ana.client.retry_now()
        async with asyncio.timeout(PATIENCE):
            while used._heard == heard:
                await asyncio.sleep(0.01)
        assert ana.client._used is used
        assert ana.told.empty()


async def test_a_try_on_the_old_network_is_begun_again_on_the_new_one() -> None:
    visits = 0

    async def mute_at_first(socket: web.WebSocketResponse) -> None:
        nonlocal visits
        visits += 1
        if visits > 1:
            await let_in(socket)
        await socket.receive()

    async with scripted(mute_at_first) as url, guest((url,)) as ana:
        async with asyncio.timeout(PATIENCE):
            while visits == 0:
                await asyncio.sleep(0.01)
        ana.client.retry_now()
        await ana.next(ServerEntered)


async def test_when_all_refuse_for_good_all_reasons_are_told() -> None:
    async with (
        scripted(then_close(4501, words=b"one")) as one,
        scripted(then_close(4526, words=b"two")) as two,
    ):
        made = Guest((one, two))
        async with asyncio.timeout(PATIENCE):
            reason = await made.run
        assert "(4501): one; the server" in reason
        assert "(4526): two" in reason


async def test_what_is_no_server_is_refused_at_once() -> None:
    with pytest.raises(UsageError):
        Guest(("ws://x", "ftp://y"))
