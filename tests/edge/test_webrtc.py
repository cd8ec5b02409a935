"""Direct paths over real WebRTC, both ends in one loop, on this machine only."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from peer.core.actions import AcceptAnswer, AcceptOffer, AddCandidates, DialDirect
from peer.core.events import (
    AnswerMade,
    DirectBroken,
    DirectLossyArrived,
    DirectOpened,
    DirectPieceArrived,
    Event,
    OfferMade,
    TurnKnown,
)
from peer.core.ids import Attempt
from peer.edge import attempt as attempt_module
from peer.edge import ice
from peer.edge.attempt import QUEUE_LIMIT
from peer.edge.ice_servers import IceServer
from peer.edge.quiet import quieten
from peer.edge.webrtc import PATHS_LIMIT, DirectPaths
from peer.errors import UsageError

ONE = Attempt(1)
PATIENCE = 10.0
"""Seconds that any single wait may take before a test fails."""

E = TypeVar("E", bound=Event)


class Side:
    """One peer: its direct paths, and what they told."""

    def __init__(self, connect_seconds: float = PATIENCE) -> None:
        self.told: asyncio.Queue[Event] = asyncio.Queue()
        self.paths = DirectPaths(self.told.put_nowait, connect_seconds=connect_seconds)

    async def next(self, kind: type[E]) -> E:
        async with asyncio.timeout(PATIENCE):
            event = await self.told.get()
        assert isinstance(event, kind), event
        return event

    async def pieces(self, count: int) -> list[bytes]:
        return [(await self.next(DirectPieceArrived)).data for _ in range(count)]


@asynccontextmanager
async def two_sides(connect_seconds: float = PATIENCE) -> AsyncIterator[tuple[Side, Side]]:
    ana, ben = Side(connect_seconds), Side(connect_seconds)
    try:
        yield ana, ben
    finally:
        await ana.paths.aclose()
        await ben.paths.aclose()


async def offer_of(side: Side, attempt: Attempt = ONE, same_host: bool = True) -> str:
    side.paths.dial(DialDirect(attempt, same_host))
    return (await side.next(OfferMade)).sdp


async def connect(
    ana: Side, ben: Side, attempt: Attempt = ONE, same_host: bool = True
) -> tuple[DirectOpened, DirectOpened]:
    offer = await offer_of(ana, attempt, same_host)
    ben.paths.accept_offer(AcceptOffer(attempt, offer, same_host))
    answer = (await ben.next(AnswerMade)).sdp
    ana.paths.accept_answer(AcceptAnswer(attempt, answer))
    return await ana.next(DirectOpened), await ben.next(DirectOpened)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():
            await asyncio.sleep(0)


class NeverClosed:
    """A way to the other side whose close does not end."""

    def __init__(self) -> None:
        self.transport = self

    def get_extra_info(self, name: str) -> None:
        return None

    def close(self) -> "asyncio.Future[None]":
        return asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("same_host", [True, False])
async def test_two_peers_on_one_machine_get_a_direct_path(same_host: bool) -> None:
    async with two_sides() as (ana, ben):
        there, back = await connect(ana, ben, same_host=same_host)
        assert there.path == back.path == "direct"
        loopback = there.address.startswith(("127.0.0.1:", "[::1]:"))
        assert loopback or not same_host


async def test_a_path_opens_without_waiting_for_the_pacing_of_checks() -> None:
    loop = asyncio.get_running_loop()
    async with two_sides() as (ana, ben):
        times = []
        for number in range(1, 30):
            started = loop.time()
            await connect(ana, ben, Attempt(number))
            times.append(loop.time() - started)
            if times[-1] < 0.02:
                return
    # aioice alone sleeps 20 ms each time, however fast the machine is.
    pytest.fail(f"no path opened within 20 ms: {times}")


async def test_on_the_same_host_only_loopback_addresses_are_offered() -> None:
    async with two_sides() as (ana, _):
        offer = await offer_of(ana)
        hosts = {line.split()[4] for line in offer.splitlines() if line.startswith("a=candidate:")}
        assert "127.0.0.1" in hosts
        assert hosts <= {"127.0.0.1", "::1"}


async def test_a_machine_without_a_network_still_offers_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    # What the list of network adapters is on a machine that has none but loopback.
    monkeypatch.setattr("ifaddr.get_adapters", list)
    async with two_sides() as (ana, ben):
        there, back = await connect(ana, ben, same_host=False)
        assert there.path == back.path == "direct"
        assert "127.0.0.1" in there.address or "[::1]" in there.address


async def test_a_mebibyte_arrives_both_ways_byte_by_byte() -> None:
    pieces = [bytes([number]) * 16_384 for number in range(64)]
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        for piece in pieces:
            ana.paths.send(ONE, piece)
            ben.paths.send(ONE, bytes(reversed(piece)) + b"!")
        assert ana.paths.buffered(ONE) > 0
        assert await ben.pieces(64) == pieces
        assert await ana.pieces(64) == [piece + b"!" for piece in pieces]
        await until(lambda: ana.paths.buffered(ONE) == 0)


async def test_small_and_empty_pieces_keep_their_order() -> None:
    pieces = [b"", *(str(number).encode() for number in range(300)), b""]
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        for piece in pieces:
            ana.paths.send(ONE, piece)
        assert await ben.pieces(len(pieces)) == pieces


async def test_what_is_sent_before_the_path_is_open_waits() -> None:
    async with two_sides() as (ana, ben):
        offer = await offer_of(ana)
        ana.paths.send(ONE, b"early")
        assert ana.paths.buffered(ONE) == 5
        ben.paths.accept_offer(AcceptOffer(ONE, offer, True))
        ana.paths.accept_answer(AcceptAnswer(ONE, (await ben.next(AnswerMade)).sdp))
        await ben.next(DirectOpened)
        assert await ben.pieces(1) == [b"early"]


async def test_the_lossy_channel_carries_and_drops_when_it_is_busy() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        ana.paths.send_lossy(ONE, b"cursor")
        assert (await ben.next(DirectLossyArrived)).data == b"cursor"
        for _ in range(100):
            ana.paths.send_lossy(ONE, bytes(1000))
        ana.paths.send(ONE, b"after")
        arrived = 0
        while isinstance(event := await ben.told.get(), DirectLossyArrived):
            arrived += 1
        assert event == DirectPieceArrived(ONE, b"after")
        assert 0 < arrived < 20


async def test_a_goodbye_that_drains_delivers_everything_first() -> None:
    pieces = [bytes([number]) * 16_384 for number in range(48)]
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        for piece in pieces:
            ana.paths.send(ONE, piece)
        ana.paths.close(ONE, drain=True)
        ana.paths.send(ONE, b"too late")
        assert await ben.pieces(48) == pieces
        assert "the other side closed" in (await ben.next(DirectBroken)).reason
        await ana.paths.aclose()
        assert ana.told.empty()


async def test_a_peer_that_goes_without_a_word_is_noticed_when_its_end_closes() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        ana.paths.close(ONE)
        assert (await ben.next(DirectBroken)).attempt == ONE
        assert ana.told.empty()
        # The attempt is forgotten on both sides: its number can be used again.
        await connect(ana, ben)


async def test_nothing_is_told_about_an_attempt_that_we_closed() -> None:
    async with two_sides() as (ana, ben):
        ana.paths.dial(DialDirect(ONE, True))
        ana.paths.close(ONE)
        ana.paths.send(ONE, b"x")
        ana.paths.send_lossy(ONE, b"x")
        ana.paths.close(ONE)
        assert ana.paths.buffered(ONE) == 0
        await ana.paths.aclose()
        assert ana.told.empty()
        ben.paths.accept_answer(AcceptAnswer(ONE, "v=0"))
        assert ben.told.empty()


async def test_a_path_that_goes_nowhere_breaks_in_time() -> None:
    async with two_sides(connect_seconds=0.5) as (ana, ben):
        offer = await offer_of(ana)
        nowhere = "\r\n".join(
            line
            if not line.startswith("a=candidate:")
            else "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
            for line in offer.split("\r\n")
        )
        ben.paths.accept_offer(AcceptOffer(ONE, nowhere, True))
        await ben.next(AnswerMade)
        assert (await ben.next(DirectBroken)).reason == "no direct path was found within 0.5 s"
        assert "within 0.5 s" in (await ana.next(DirectBroken)).reason


async def test_a_description_that_is_none_is_refused() -> None:
    async with two_sides() as (ana, ben):
        ben.paths.accept_offer(AcceptOffer(ONE, "hello", True))
        assert "not made of SDP lines" in (await ben.next(DirectBroken)).reason
        await offer_of(ana)
        ana.paths.accept_answer(AcceptAnswer(ONE, "hello"))
        assert "not made of SDP lines" in (await ana.next(DirectBroken)).reason


async def test_no_mutilated_offer_does_more_than_break_its_own_attempt() -> None:
    rng = random.Random(7)
    async with two_sides() as (ana, ben):
        offer = await offer_of(ana)
        for number in range(150):
            attempt = Attempt(100 + number)
            ben.paths.accept_offer(AcceptOffer(attempt, mutilated(offer, rng), True))
            async with asyncio.timeout(PATIENCE):
                event = await ben.told.get()
            assert isinstance(event, AnswerMade | DirectBroken)
            ben.paths.close(attempt)
        await connect(ana, ben, Attempt(2))


def mutilated(sdp: str, rng: random.Random) -> str:
    lines = sdp.split("\r\n")
    at = rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, rng.choice(lines))
        case 2:
            lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
        case _:
            place = rng.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + rng.choice("0 :é\0-") + lines[at][place + 1 :]
    return "\r\n".join(lines)


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        (("1 1 udp 1 10.0.0.1 9 typ host",) * 65, "the number of candidates"),
        (("1 1 udp 1 localhost 9 typ host",), "cannot be read"),
        (("1 1 udp 1 10.0.0.1 9 typ host\r\nm=audio",), "cannot be read"),
        (("",), "cannot be read"),
    ],
)
async def test_attack_addresses_without_end_or_sense_break_their_own_attempt(
    candidates: tuple[str, ...], reason: str
) -> None:
    async with two_sides() as (ana, ben):
        await offer_of(ana)
        for candidate in candidates:
            ana.paths.add_candidates(AddCandidates(ONE, (candidate,), False))
        assert reason in (await ana.next(DirectBroken)).reason
        ana.paths.add_candidates(AddCandidates(ONE, candidates, True))
        await connect(ana, ben, Attempt(2))


async def test_an_answer_that_the_library_refuses_breaks_the_attempt() -> None:
    async with two_sides() as (ana, _):
        offer = await offer_of(ana)
        # Two sides that both want to wait for the other's first packet.
        ana.paths.accept_answer(AcceptAnswer(ONE, offer))
        assert "could not be prepared" in (await ana.next(DirectBroken)).reason


async def test_a_swapped_fingerprint_never_opens() -> None:
    async with two_sides(connect_seconds=1.0) as (ana, ben):
        offer = await offer_of(ana)
        ben.paths.accept_offer(AcceptOffer(ONE, offer, True))
        answer = (await ben.next(AnswerMade)).sdp
        lines = answer.split("\r\n")
        at = next(i for i, line in enumerate(lines) if line.startswith("a=fingerprint:sha-256"))
        lines[at] = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
        ana.paths.accept_answer(AcceptAnswer(ONE, "\r\n".join(lines)))
        await ana.next(DirectBroken)
        assert ana.told.empty()


async def test_an_attempt_number_is_used_once_at_a_time() -> None:
    async with two_sides() as (ana, _):
        await offer_of(ana)
        with pytest.raises(UsageError):
            ana.paths.dial(DialDirect(ONE, True))


async def test_there_is_a_limit_to_attempts() -> None:
    async with two_sides() as (ana, _):
        for number in range(PATHS_LIMIT):
            ana.paths._begin(Attempt(number))
        ana.paths.dial(DialDirect(Attempt(1000), True))
        ana.paths.accept_offer(AcceptOffer(Attempt(1001), "", True))
        assert (await ana.next(DirectBroken)).attempt == 1000
        assert (await ana.next(DirectBroken)).attempt == 1001


async def test_a_queue_that_never_ends_breaks_the_path() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        for _ in range(QUEUE_LIMIT // 65_536 + 10):
            ana.paths.send(ONE, bytes(65_536))
        assert "waited for the direct path" in (await ana.next(DirectBroken)).reason
        assert ana.paths.buffered(ONE) == 0


async def test_text_and_oversized_messages_are_no_part_of_the_protocol() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        channel(ana).edits.send("text")
        assert "sent text" in (await ben.next(DirectBroken)).reason
        await ana.next(DirectBroken)
        await connect(ana, ben)
        channel(ana).lossy.send(bytes(65_537))
        assert "65537 bytes at once" in (await ben.next(DirectBroken)).reason


async def test_a_piece_that_the_channel_does_not_take_breaks_the_path() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        ana.paths.send(ONE, bytes(300_000))
        assert "does not take" in (await ana.next(DirectBroken)).reason


async def test_a_listener_that_fails_breaks_only_its_own_path() -> None:
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        told: list[Event] = []

        def fail_once(event: Event) -> None:
            told.append(event)
            if len(told) == 1:
                raise KeyboardInterrupt

        path = ben.paths._paths[ONE]
        path._emit = fail_once
        ana.paths.send(ONE, b"boom")
        await ana.next(DirectBroken)
        assert isinstance(told[1], DirectBroken)
        await connect(ana, ben)


async def test_messages_that_overtake_the_handshake_are_kept_in_order() -> None:
    async with two_sides() as (ana, _):
        await offer_of(ana)
        path = ana.paths._paths[ONE]
        path._on_piece(b"first")
        path._on_lossy(b"second")
        assert ana.told.empty()
        for _ in range(attempt_module._EARLY_LIMIT):
            path._on_piece(b"more")
        assert "before the direct path was open" in (await ana.next(DirectBroken)).reason


async def test_sockets_have_room_for_bursts() -> None:
    async with two_sides() as (ana, _):
        await offer_of(ana)
        opened = list(ice.sockets(channel(ana).ice))
        assert opened
        for each in opened:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                assert each.getsockopt(socket.SOL_SOCKET, option) >= granted(option)


def granted(option: int) -> int:
    """What this system gives a plain socket that asks for as much."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
        plain.setsockopt(socket.SOL_SOCKET, option, ice.SOCKET_BUFFER)
        return plain.getsockopt(socket.SOL_SOCKET, option)


def channel(side: Side) -> "attempt_module._Wire":
    wire = side.paths._paths[ONE]._wire
    assert wire is not None
    return wire


async def test_a_dead_server_does_not_hold_an_offer_up() -> None:
    ana = Side()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{dead.getsockname()[1]}"
        ana.paths.use_ice_servers(
            [IceServer((f"stun:{at}",)), IceServer((f"turn:{at}?transport=udp",), "user", "password")]
        )
        assert await ana.next(TurnKnown) == TurnKnown(("udp",))
        await ana.paths.warm()
        started = asyncio.get_running_loop().time()
        offer = await offer_of(ana, same_host=False)
        assert asyncio.get_running_loop().time() - started < 0.5
        assert "end-of-candidates" not in offer, "more may follow"
    await ana.paths.aclose()


async def test_closing_gives_every_socket_and_task_back() -> None:
    before = asyncio.all_tasks()
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        sockets = [*ice.sockets(channel(ana).ice), *ice.sockets(channel(ben).ice)]
    assert sockets
    assert all(each.fileno() == -1 for each in sockets)
    await until(lambda: asyncio.all_tasks() == before)


async def test_a_close_that_is_cut_short_leaves_no_task_and_no_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempt_module, "CLOSE_SECONDS", 0.1)
    before = asyncio.all_tasks()
    async with two_sides() as (ana, ben):
        await connect(ana, ben)
        connection = channel(ana).ice
        sockets = list(ice.sockets(connection))
        # such a thing as aioice waits for when it closes, and it never comes
        connection._protocols.insert(0, NeverClosed())  # type: ignore[arg-type]
    await until(lambda: asyncio.all_tasks() == before)
    assert sockets
    assert all(each.fileno() == -1 for each in sockets)


async def test_only_the_harmless_errors_of_dying_tasks_are_kept_quiet() -> None:
    loop = asyncio.get_running_loop()
    heard: list[object] = []
    loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
    quieten(loop)
    quieten(loop)
    loop.call_exception_handler({"exception": ConnectionError("Cannot send encrypted data, not connected")})
    assert heard == []
    real = ConnectionError("something else")
    loop.call_exception_handler({"exception": real})
    assert heard == [real]
