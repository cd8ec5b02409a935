"""A connection that breaks and comes back does not look like leaving and joining, and only to its owner."""

import base64
import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.messages import (
    CLOSED_FOR_NOW,
    Away,
    Back,
    Claim,
    Enter,
    Joined,
    Left,
    Nonce,
    Welcome,
    pack_frame,
)
from signaling.proofs import claim_bytes, proof_bytes
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.signaling.clients import Client, RawClient, eventually, neighbours, websocket_frame

SETTINGS = Settings(port=0)
ROOM = Ed25519PrivateKey.from_private_bytes(b"r" * 32)


def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


async def test_who_comes_back_has_its_address_and_nobody_saw_it_leave() -> None:
    bens = key()
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, bens)
        assert ben.welcome.resume_seconds == 120
        assert not ben.welcome.resumed
        await ann.hear(Joined)
        ben.cut()
        assert await ann.hear(Away) == Away(ben.address.hex())
        await ann.send(ben.address, b"into the void")
        async with await Client.member(server, ROOM, bens, token=ben.token) as again:
            assert again.welcome.resumed
            assert again.address == ben.address
            assert again.welcome.members == (ann.address.hex(),)
            assert again.token != ben.token
            assert await ann.hear(Back) == Back(ben.address.hex())
            await ann.send(ben.address, b"hello")
            assert (await again.frame()).payload == b"hello"
            await again.send(ann.address, b"hello yourself")
            assert (await ann.frame()).address == ben.address
        assert await ann.hear(Left) == Left(ben.address.hex()), "a goodbye counts at once"
        await ben.leave()


async def test_a_connection_that_the_server_still_holds_is_superseded() -> None:
    bens = key()
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, bens)
        await ann.hear(Joined)
        async with await Client.member(server, ROOM, bens, token=ben.token) as again:
            assert again.welcome.resumed
            assert await ann.hear(Back) == Back(ben.address.hex())
            assert (await ben.until_closed())[0] == 4504
            await ann.send(ben.address, b"to the new one")
            assert (await again.frame()).payload == b"to the new one"
        await ben.leave()


async def test_the_last_frames_of_a_member_come_before_the_word_that_it_left() -> None:
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await RawClient.connect(server)
        await ben.enter(ROOM)
        await ann.hear(Joined)
        frames = [websocket_frame(pack_frame(ann.address, b"%d" % number)) for number in range(50)]
        # in one packet, as a goodbye is
        ben.writer.write(b"".join(frames) + websocket_frame((1000).to_bytes(2), 8))
        assert [(await ann.frame()).payload for _ in frames] == [b"%d" % number for number in range(50)]
        assert await ann.hear(Left) == Left(ben.address.hex())
        ben.abort()


async def test_closing_for_now_is_no_goodbye() -> None:
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, key())
        await ann.hear(Joined)
        await ben.leave(CLOSED_FOR_NOW)
        await ann.hear(Away)


async def test_who_stays_away_too_long_has_left_and_comes_back_as_somebody_new() -> None:
    bens = key()
    settings = replace(SETTINGS, resume_seconds=0.1)
    async with RoomServer(settings) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, bens)
        await ann.hear(Joined)
        ben.cut()
        await ann.hear(Away)
        assert await ann.hear(Left) == Left(ben.address.hex())
        async with await Client.member(server, ROOM, bens, token=ben.token) as again:
            assert not again.welcome.resumed
            assert again.address != ben.address
            await ann.hear(Joined)
        await ben.leave()


async def test_who_breaks_the_protocol_does_not_keep_its_place() -> None:
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, key())
        await ann.hear(Joined)
        await ben.say("rubbish")
        await ann.hear(Left)
        await ben.leave()


async def test_who_offers_no_key_cannot_come_back_and_leaves_at_once() -> None:
    async with RoomServer(SETTINGS) as server, await Client.join(server, ROOM) as ann:
        ben = await Client.join(server, ROOM)
        assert ben.welcome.token is None
        await ann.hear(Joined)
        ben.cut()
        await ann.hear(Left)
        await ben.leave()


async def test_all_of_a_room_come_back_after_a_cut_and_know_each_other() -> None:
    keys = [key(), key(), key()]
    async with RoomServer(SETTINGS) as server:
        members = [await Client.member(server, ROOM, each) for each in keys]
        for member in members:
            member.cut()
        await eventually(lambda: server.rooms == 0)
        back = [
            await Client.member(server, ROOM, each, token=member.token)
            for each, member in zip(keys, members, strict=True)
        ]
        assert [each.address for each in back] == [member.address for member in members]
        assert back[2].welcome.members == (back[0].address.hex(), back[1].address.hex())
        for each in back + members:
            await each.leave()


async def test_attack_a_stolen_token_is_worthless_to_another_member() -> None:
    thief_key = key()
    async with RoomServer(SETTINGS) as server, neighbours(server), await Client.join(server, ROOM) as ann:
        ben = await Client.member(server, ROOM, key())
        await ann.hear(Joined)
        ben.cut()
        await ann.hear(Away)
        async with await Client.member(server, ROOM, thief_key, token=ben.token) as thief:
            assert not thief.welcome.resumed
            assert thief.address != ben.address
            assert isinstance(await ann.hear(Joined), Joined)
        assert ben.member_key is not None
        async with await Client.member(server, ROOM, ben.member_key, token=ben.token) as again:
            assert again.welcome.resumed, "nor has the owner lost it"
        await ben.leave()


async def test_attack_a_stolen_token_and_even_its_key_are_worthless_without_the_room() -> None:
    bens = key()
    async with RoomServer(SETTINGS) as server:
        ben = await Client.member(server, ROOM, bens)
        ben.cut()
        thief = await Client.connect(server)
        nonce = (await thief.hear(Nonce)).nonce
        public = ROOM.public_key().public_bytes_raw()
        claim = Claim(ben.token, bens.sign(claim_bytes(nonce, ben.token)))
        await thief.say(Enter(public, bens.sign(proof_bytes(nonce)), 1, None, claim))
        assert (await thief.until_closed())[0] == 4501
        await thief.leave()
        await ben.leave()


async def test_attack_a_token_for_another_room_is_no_way_in() -> None:
    bens, other = key(), key()
    async with RoomServer(SETTINGS) as server:
        ben = await Client.member(server, ROOM, bens)
        ben.cut()
        async with await Client.member(server, other, bens, token=ben.token) as elsewhere:
            assert not elsewhere.welcome.resumed
            assert elsewhere.address != ben.address
        await ben.leave()


async def test_attack_a_replayed_claim_fits_no_other_connection() -> None:
    bens = key()
    async with RoomServer(SETTINGS) as server:
        ben = await Client.member(server, ROOM, bens)
        thief = await Client.connect(server)
        overheard = bens.sign(claim_bytes(b"x" * 32, ben.token))
        nonce = (await thief.hear(Nonce)).nonce
        public = ROOM.public_key().public_bytes_raw()
        await thief.say(Enter(public, ROOM.sign(proof_bytes(nonce)), 1, None, Claim(ben.token, overheard)))
        assert not (await thief.hear(Welcome)).resumed
        async with await Client.member(server, ROOM, bens, token=ben.token) as again:
            assert again.welcome.resumed
            async with await Client.member(server, ROOM, bens, token=ben.token) as twice:
                assert not twice.welcome.resumed, "a token is good once"
        await thief.leave()
        await ben.leave()


async def test_attack_a_flood_of_broken_connections_keeps_few_places_and_disturbs_nobody() -> None:
    settings = replace(SETTINGS, resume_members=4, resume_total=6, connect_burst=1000.0)
    async with RoomServer(settings) as server, neighbours(server), await Client.join(server, ROOM) as ann:
        for number in range(30):
            vandal = await Client.member(server, ROOM, key())
            await ann.hear(Joined)
            vandal.cut()
            await ann.hear(Away)
            if number >= 4:
                await ann.hear(Left)
            assert len(server._hub.rooms._away) <= 4
            await vandal.leave()
        assert len(server._hub.rooms._rights) == 4


@pytest.mark.parametrize("field", ["token", "signature", "member_key"])
async def test_attack_a_claim_of_the_wrong_length_is_malformed(field: str) -> None:
    words = {"token": b"t" * 32, "signature": b"s" * 64, "member_key": b"k" * 32} | {field: b"short"}
    async with RoomServer(SETTINGS) as server:
        vandal = await Client.connect(server)
        nonce = (await vandal.hear(Nonce)).nonce
        public = ROOM.public_key().public_bytes_raw()
        words |= {"room_key": public, "proof": ROOM.sign(proof_bytes(nonce))}
        b64 = {name: base64.b64encode(value).decode() for name, value in words.items()}
        claim = {"token": b64["token"], "signature": b64["signature"]}
        enter = {"type": "enter", "protocol": 1, "room_key": b64["room_key"], "signature": b64["proof"]}
        text = json.dumps({**enter, "member_key": b64["member_key"], "resume": claim})
        await vandal.say(text)
        assert (await vandal.until_closed())[0] == 4500
        await vandal.leave()
