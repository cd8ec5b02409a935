"""What an attacker may try, one test per attack; in each, the neighbours must notice nothing."""

import asyncio
import json
import random
from dataclasses import replace

import pytest
from aiohttp import WSMsgType
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.messages import Enter, Error, Joined, Left, Nonce, Ping, Pong, encode, pack_frame, proof_bytes
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.signaling.clients import Client, RawClient, eventually, neighbours, pair, websocket_frame

SETTINGS = Settings(port=0)
FAST = replace(SETTINGS, frame_rate=1e9, frame_burst=1e9, byte_rate=1e12, byte_burst=1e12)


async def test_attack_never_reading_is_dropped_as_slow_and_delays_nobody() -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(FAST) as server, neighbours(server), await Client.join(server, room) as ann:
        lazy = await RawClient.connect(server, small_buffers=True)
        await lazy.enter(room)
        await ann.hear(Joined)
        async with await Client.join(server, room) as ben:
            await ann.hear(Joined)
            dropped = asyncio.create_task(ann.hear(Left))
            heard_by_ben = asyncio.create_task(frames_until(ben, b"end"))
            sent: list[bytes] = []
            while not dropped.done():
                await ann.send(lazy.address, bytes(32_000))
                sent.append(b"%d" % len(sent))
                await ann.send(ben.address, sent[-1])
            await ann.send(ben.address, b"end")
            assert (await dropped).address == lazy.address.hex()
            assert await heard_by_ben == sent
        # Whoever begins to read after all still learns why.
        assert await lazy.close_code() == 4003
        lazy.abort()


async def frames_until(client: Client, last: bytes) -> list[bytes]:
    """What comes to a client in frames, up to the last one."""
    payloads: list[bytes] = []
    while True:
        message = await client.receive()
        if message.type is WSMsgType.BINARY:
            if message.data[9:] == last:
                return payloads
            payloads.append(message.data[9:])


async def test_attack_not_reading_small_amounts_is_dropped_after_the_write_limit() -> None:
    settings = replace(FAST, write_seconds=0.2, queue_bytes=64 * 1024 * 1024)
    room = Ed25519PrivateKey.generate()
    async with RoomServer(settings) as server, neighbours(server), await Client.join(server, room) as ann:
        lazy = await RawClient.connect(server, small_buffers=True)
        await lazy.enter(room)
        await ann.hear(Joined)
        for _ in range(400):
            await ann.send(lazy.address, bytes(32_000))
        assert (await ann.hear(Left)).address == lazy.address.hex()
        lazy.abort()


async def test_attack_many_that_do_not_read_share_one_memory_budget() -> None:
    settings = replace(FAST, queue_total_bytes=1024 * 1024, write_seconds=60.0)
    room = Ed25519PrivateKey.generate()
    async with RoomServer(settings) as server, await Client.join(server, room) as ann:
        lazy = [await RawClient.connect(server, small_buffers=True) for _ in range(4)]
        for each in lazy:
            await each.enter(room)
            await ann.hear(Joined)
        dropped = asyncio.create_task(ann.hear(Left))
        for _ in range(10_000):
            for each in lazy:
                await ann.send(each.address, bytes(32_000))
            if dropped.done():
                break
            assert server._hub.budget.used <= 1024 * 1024
        await dropped
        for each in lazy:
            each.abort()


DEEP = b'{"type":"ping","x":' + b"[" * 60_000


@pytest.mark.parametrize(
    ("garbage", "codes"),
    [
        (websocket_frame(b"", 1), {4500}),
        (websocket_frame(b"hello", 1), {4500}),
        (websocket_frame(b"\xff\xfe\x00", 1), {4500}),
        (websocket_frame(b"[1,2]", 1), {4500}),
        (websocket_frame(b'{"type":["ping"]}', 1), {4500}),
        (websocket_frame(b'{"type":"enter"}', 1), {4500}),
        (websocket_frame(DEEP, 1), {4500}),
        (websocket_frame(b"", 2), {4500}),
        (websocket_frame(b"\x01", 2), {4500}),
        (websocket_frame(b"\x01short", 2), {4500}),
        (websocket_frame(b"x", first=0x83), {1002}),
        (websocket_frame(b"x", first=0xF2), {1002}),
        (websocket_frame(b"x", first=0x80), {1002}),
        (websocket_frame(b"x" * 130, 9), {1002}),
        (websocket_frame(b"x", first=0x09), {1002}),
        (websocket_frame(bytes(65_537), 2), {1009}),
        (websocket_frame(bytes(65_537), 1), {1009}),
        (b"\x82\xff" + b"\x7f" * 8 + bytes(4), {1002, 1009}),
        (websocket_frame(bytes(40_000), first=0x02) + websocket_frame(bytes(40_000), first=0x80), {1009}),
        (websocket_frame(b"\x03\xe7", 8), {1002}),
        (b"GET / HTTP/1.1\r\n\r\n" * 20, {1002, 1009}),
    ],
)
async def test_attack_garbage_ends_one_connection_with_a_code(garbage: bytes, codes: set[int]) -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, neighbours(server), await Client.join(server, room) as ann:
        vandal = await RawClient.connect(server)
        await vandal.enter(room)
        await ann.hear(Joined)
        vandal.writer.write(garbage)
        assert await vandal.close_code() in codes
        vandal.abort()
        assert (await ann.hear(Left)).address == vandal.address.hex()
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()


async def test_who_sends_a_lot_after_the_mistake_still_hears_what_it_was() -> None:
    async with RoomServer(SETTINGS) as server, neighbours(server):
        hasty = await RawClient.connect(server)
        await hasty.enter(Ed25519PrivateKey.generate())
        hasty.writer.write(websocket_frame(b"garbage", 1))
        for _ in range(100):
            hasty.writer.write(websocket_frame(pack_frame(hasty.address, bytes(60_000))))
        await hasty.writer.drain()
        assert await hasty.close_code() == 4500
        hasty.abort()


@pytest.mark.parametrize("seed", range(10))
async def test_attack_random_bytes_at_any_moment(seed: int) -> None:
    chance = random.Random(seed)
    async with RoomServer(SETTINGS) as server, neighbours(server):
        for moment in ("http", "before enter", "inside"):
            vandal = await RawClient.connect(server)
            if moment == "before enter":
                await vandal.upgrade()
            elif moment == "inside":
                await vandal.enter(Ed25519PrivateKey.generate())
            vandal.writer.write(chance.randbytes(5000))
            vandal.writer.write_eof()
            assert await vandal.is_hung_up()
            vandal.abort()


async def test_attack_garbage_from_someone_who_does_not_read_is_cut_off() -> None:
    settings = replace(FAST, ping_seconds=0.1, pong_seconds=0.2, write_seconds=0.2)
    room = Ed25519PrivateKey.generate()
    async with RoomServer(settings) as server, neighbours(server):
        vandal = await RawClient.connect(server, small_buffers=True)
        await vandal.enter(room)
        for _ in range(200):
            vandal.writer.write(websocket_frame(pack_frame(vandal.address, bytes(60_000))))
        vandal.writer.write(websocket_frame(b"x", first=0x83))
        await eventually(lambda: server.rooms == 1)
        vandal.abort()


async def test_attack_flood_of_frames_is_read_no_faster_than_the_limit() -> None:
    settings = replace(SETTINGS, frame_rate=100.0, frame_burst=50.0)
    async with RoomServer(settings) as server, neighbours(server), pair(server) as (flooder, victim):
        begin = asyncio.get_running_loop().time()
        for number in range(150):
            await flooder.send(victim.address, b"%d" % number)
        received = [(await victim.frame()).payload for _ in range(150)]
        took = asyncio.get_running_loop().time() - begin
        assert received == [b"%d" % number for number in range(150)]
        assert took >= 0.9


async def test_attack_flood_of_bytes_is_read_no_faster_than_the_limit() -> None:
    settings = replace(SETTINGS, byte_rate=200_000.0, byte_burst=100_000.0)
    async with RoomServer(settings) as server, neighbours(server), pair(server) as (flooder, victim):
        begin = asyncio.get_running_loop().time()
        for _ in range(6):
            await flooder.send(victim.address, bytes(50_000))
        for _ in range(6):
            assert len((await victim.frame()).payload) == 50_000
        assert asyncio.get_running_loop().time() - begin >= 0.7


async def test_attack_flood_of_tiny_frames_does_not_starve_the_neighbours() -> None:
    async with RoomServer(FAST) as server, neighbours(server):
        flooder = await RawClient.connect(server)
        await flooder.enter(Ed25519PrivateKey.generate())
        batch = websocket_frame(pack_frame(b"nobody..", b"")) * 2000
        for _ in range(50):
            flooder.writer.write(batch)
            await flooder.writer.drain()
        flooder.abort()


@pytest.mark.parametrize(
    "talk",
    [
        websocket_frame(encode(Ping()), 1),
        websocket_frame(encode(Pong()), 1),
        websocket_frame(b'{"type":"fireworks"}', 1),
        websocket_frame(b"", 9),
        websocket_frame(b"", 10),
        websocket_frame(b"\x7f", 2),
    ],
)
async def test_attack_flood_of_small_talk_is_refused(talk: bytes) -> None:
    async with RoomServer(SETTINGS) as server, neighbours(server):
        chatterbox = await RawClient.connect(server)
        await chatterbox.enter(Ed25519PrivateKey.generate())
        chatterbox.writer.write(talk * 1000)
        assert await chatterbox.close_code() == 4029
        chatterbox.abort()


async def test_attack_guessing_addresses_is_refused() -> None:
    async with RoomServer(SETTINGS) as server, neighbours(server):
        guesser = await RawClient.connect(server)
        await guesser.enter(Ed25519PrivateKey.generate())
        for number in range(1000):
            guesser.writer.write(websocket_frame(pack_frame(number.to_bytes(8, "big"), b"")))
        assert await guesser.close_code() == 4029
        guesser.abort()


async def test_attack_too_many_control_messages_for_one_who_does_not_read() -> None:
    settings = replace(FAST, talk_rate=1e9, talk_burst=1e9, queue_control=16)
    async with RoomServer(settings) as server, neighbours(server):
        lazy = await RawClient.connect(server, small_buffers=True)
        await lazy.enter(Ed25519PrivateKey.generate())
        lazy.writer.write(websocket_frame(bytes(100), 9) * 100_000)
        await eventually(lambda: server.rooms == 1)
        lazy.abort()


async def test_attack_more_bytes_than_allowed_before_the_proof() -> None:
    async with RoomServer(SETTINGS) as server, neighbours(server), await Client.connect(server) as talker:
        await talker.say(json.dumps({"type": "fireworks", "much": "x" * 9000}))
        code, said = await talker.until_closed()
        assert code == 4513
        assert isinstance(said[-1], Error)
        assert not said[-1].retryable


async def test_attack_empty_messages_before_the_proof_are_not_free() -> None:
    async with RoomServer(replace(SETTINGS, talk_burst=1e6)) as server:
        talker = await RawClient.connect(server)
        await talker.upgrade()
        talker.writer.write(websocket_frame(b"", 10) * 2000)
        assert await talker.close_code() == 4513
        talker.abort()


async def test_attack_saying_nothing_after_the_upgrade() -> None:
    async with RoomServer(replace(SETTINGS, enter_seconds=0.2)) as server, neighbours(server):
        async with await Client.connect(server) as mute:
            code, said = await mute.until_closed()
            assert code == 4008
            assert isinstance(said[-1], Error)
            assert said[-1].retryable
        await eventually(lambda: server.connections == 2)


async def test_attack_small_talk_does_not_prolong_the_time_for_the_proof() -> None:
    settings = replace(SETTINGS, enter_seconds=0.3, enter_bytes=10**9, talk_burst=1e9)
    async with RoomServer(settings) as server:
        talker = await RawClient.connect(server)
        await talker.upgrade()
        opcode, payload = await talker.message()
        while opcode != 8:
            talker.writer.write(websocket_frame(encode(Ping()), 1))
            opcode, payload = await talker.message()
        assert int.from_bytes(payload[:2], "big") == 4008
        talker.abort()


@pytest.mark.parametrize("opening", [b"", b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_attack_sockets_that_never_finish_asking_are_hung_up(opening: bytes) -> None:
    async with RoomServer(replace(SETTINGS, enter_seconds=0.2)) as server, neighbours(server):
        slow = await RawClient.connect(server)
        slow.writer.write(opening)
        assert await slow.is_hung_up()
        slow.abort()


async def test_attack_hoarding_sockets_leaves_the_door_open() -> None:
    settings = replace(SETTINGS, connections_per_address=4, connections=8)
    async with RoomServer(settings) as server, neighbours(server):
        hoard = [await RawClient.connect(server) for _ in range(150)]
        await eventually(lambda: any(each.reader.at_eof() or each.reader.exception() for each in hoard))
        assert server._gate is not None
        assert len(server._gate._open) <= 4 + 64 + 2
        for each in hoard:
            each.abort()
        await eventually(lambda: server._gate is not None and len(server._gate._open) == 2)


async def test_attack_a_frame_before_the_proof() -> None:
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, _), await Client.connect(server) as eve:
        await eve.send(ann.address, b"let me in")
        assert (await eve.until_closed())[0] == 4502
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()


async def test_attack_entering_twice() -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, await Client.connect(server) as eve:
        nonce = await eve.hear(Nonce)
        enter = Enter(room.public_key().public_bytes_raw(), room.sign(proof_bytes(nonce.nonce)), 1)
        await eve.say(enter)
        await eve.say(enter)
        code, _ = await eve.until_closed()
        assert code == 4502
        assert server.rooms == 0


async def test_attack_never_answering_the_closing_handshake_is_hung_up() -> None:
    async with RoomServer(SETTINGS) as server, neighbours(server):
        rude = await RawClient.connect(server)
        await rude.enter(Ed25519PrivateKey.generate())
        rude.writer.write(websocket_frame(b"garbage", 1))
        assert await rude.close_code() == 4500
        assert await rude.is_hung_up()
        await eventually(lambda: server.connections == 2)
        rude.abort()


async def test_attack_a_proof_by_another_key() -> None:
    room, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, await Client.connect(server) as eve:
        nonce = await eve.hear(Nonce)
        await eve.say(Enter(room.public_key().public_bytes_raw(), other.sign(proof_bytes(nonce.nonce)), 1))
        code, said = await eve.until_closed()
        assert code == 4501
        assert isinstance(said[0], Error)
        assert not said[0].retryable
        assert server.rooms == 0


async def test_attack_a_proof_that_was_overheard_elsewhere() -> None:
    room = Ed25519PrivateKey.generate()
    async with (
        RoomServer(SETTINGS) as server,
        await Client.connect(server) as ann,
        await Client.connect(server) as eve,
    ):
        overheard = room.sign(proof_bytes((await ann.hear(Nonce)).nonce))
        await eve.hear(Nonce)
        await eve.say(Enter(room.public_key().public_bytes_raw(), overheard, 1))
        assert (await eve.until_closed())[0] == 4501


async def test_attack_a_compression_bomb_is_not_even_unpacked() -> None:
    async with RoomServer(SETTINGS) as server:
        bomber = await RawClient.connect(server)
        await bomber.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        bomber.writer.write(websocket_frame(bytes(1000), first=0xC2))
        assert await bomber.close_code() == 1002
        bomber.abort()
