"""The server as its clients see it, over real sockets."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from signaling.messages import (
    ENDPOINT,
    Declined,
    Enter,
    Error,
    Ice,
    IceServer,
    IceServers,
    Joined,
    Left,
    Nonce,
    PeerGone,
    Ping,
    Pong,
    Relayed,
    decode_from_server,
    pack_frame,
    proof_bytes,
    room_id,
)
from signaling.server import RoomServer
from signaling.settings import Settings, SettingsError
from signaling.turn import sign
from tests.signaling.clients import PATIENCE, Client, RawClient, eventually, pair, upgrade_request

SETTINGS = Settings(port=0)


async def test_members_of_a_room_hear_of_each_other() -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, await Client.join(server, room) as ann:
        assert ann.welcome.members == ()
        async with await Client.join(server, room) as ben:
            assert ben.welcome.members == (ann.address.hex(),)
            assert await ann.hear(Joined) == Joined(ben.address.hex())
        assert await ann.hear(Left) == Left(ben.address.hex())
        await eventually(lambda: (server.connections, server.rooms) == (1, 1))


async def test_a_member_that_vanishes_has_left() -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, await Client.join(server, room) as ann:
        ben = await RawClient.connect(server)
        await ben.enter(room)
        assert await ann.hear(Joined) == Joined(ben.address.hex())
        ben.abort()
        assert await ann.hear(Left) == Left(ben.address.hex())


async def test_a_client_that_is_sending_while_it_is_sent_away_still_hears_why() -> None:
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, ben):
        for _ in range(20):
            await ann.send(ben.address, bytes(60_000))
        await asyncio.wait((asyncio.create_task(server.drain()),), timeout=0)
        await ann.send(ben.address, bytes(60_000))
        assert (await ann.until_closed())[0] == 4001
        assert (await ben.until_closed())[0] == 4001


async def test_a_frame_arrives_byte_for_byte_with_its_sender() -> None:
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, ben):
        for payload in (b"", b"x", bytes(range(256)) * 64, bytes(65_536 - 9)):
            await ann.send(ben.address, payload)
            assert await ben.frame() == Relayed(ann.address, payload)
        await ann.send(ann.address, b"to myself")
        assert await ann.frame() == Relayed(ann.address, b"to myself")


async def test_frames_arrive_each_once_and_in_order() -> None:
    async with RoomServer(replace(SETTINGS, frame_burst=1e6)) as server, pair(server) as (ann, ben):
        for number in range(3000):
            await ann.send(ben.address, b"%d" % number)
        assert [(await ben.frame()).payload for _ in range(3000)] == [b"%d" % n for n in range(3000)]


async def test_rooms_know_nothing_of_each_other() -> None:
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, _), pair(server) as (eve, _):
        await eve.send(ann.address, b"psst")
        assert await eve.hear(PeerGone) == PeerGone(ann.address.hex(), "never")
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()
        assert server.rooms == 2


async def test_the_sender_hears_once_that_its_target_has_left() -> None:
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, ben):
        await ben.leave()
        await ann.hear(Left)
        for _ in range(300):
            await ann.send(ben.address, b"are you there?")
        assert await ann.hear(PeerGone) == PeerGone(ben.address.hex(), "left")
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()


async def test_the_welcome_says_what_the_operator_has_set() -> None:
    ice = (IceServer(urls=("turn:x",), username="u", credential="c"),)
    settings = replace(SETTINGS, ice_servers=ice, motd="tea at 4 日", room_members=3, ping_seconds=9.0)
    async with RoomServer(settings) as server, await Client.join(server) as ann:
        assert ann.welcome.ice_servers == ice
        assert ann.welcome.motd == "tea at 4 日"
        assert ann.welcome.ping_seconds == 9.0
        assert ann.welcome.limits.members == 3
        assert ann.welcome.limits.message_bytes == 65_536
        assert ann.welcome.limits.queue_bytes == settings.queue_bytes
        assert ann.welcome.server.startswith("weft/")


async def test_pings_of_both_kinds_are_answered() -> None:
    async with RoomServer(SETTINGS) as server, await Client.join(server) as ann:
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()
        await ann.websocket.ping(b"websocket")
        answer = await ann.receive()
        assert (answer.type, answer.data) == (WSMsgType.PONG, b"websocket")
        await ann.websocket.pong(b"unasked")
        await ann.say(Pong())
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()


async def test_a_client_that_answers_pings_stays_and_one_that_does_not_is_dropped() -> None:
    settings = replace(SETTINGS, ping_seconds=0.1, pong_seconds=0.3)
    async with RoomServer(settings) as server, pair(server) as (ann, mute):
        given_up = asyncio.create_task(mute.until_closed())
        left = False
        for _ in range(15):
            message = decode_from_server((await ann.receive()).data)
            left = left or message == Left(mute.address.hex())
            if message == Ping():
                await ann.say(Pong())
        assert left
        code, said = await given_up
        assert code == 4002
        assert isinstance(said[-1], Error)
        assert said[-1].retryable


async def test_unknown_messages_are_ignored() -> None:
    async with RoomServer(SETTINGS) as server, await Client.connect(server) as ann:
        await ann.say('{"type":"fireworks"}')
        await ann.enter(Ed25519PrivateKey.generate())
        await ann.say('{"type":"fireworks","colour":"red"}')
        await ann.websocket.send_bytes(b"\x7fa frame of the future")
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()


async def test_compression_is_never_agreed_on() -> None:
    async with RoomServer(SETTINGS) as server:
        raw = await RawClient.connect(server)
        answer = await raw.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        assert b"101" in answer.split(b"\r\n")[0]
        assert b"sec-websocket-extensions" not in answer.lower()
        raw.abort()


async def test_another_protocol_version_is_refused_for_good() -> None:
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS) as server, await Client.connect(server) as ann:
        nonce = await ann.hear(Nonce)
        assert nonce.protocol == (1, 1)
        await ann.say(Enter(room.public_key().public_bytes_raw(), room.sign(proof_bytes(nonce.nonce)), 2))
        code, said = await ann.until_closed()
        assert code == 4526
        assert isinstance(said[0], Error)
        assert (said[0].code, said[0].retryable) == (4526, False)
        assert "1 to 1, not 2" in said[0].message


async def test_a_full_room_and_one_room_too_many_are_refused() -> None:
    settings = replace(SETTINGS, room_members=1, rooms=1)
    room = Ed25519PrivateKey.generate()
    async with RoomServer(settings) as server, await Client.join(server, room):
        for key, expected in ((room, 4009), (Ed25519PrivateKey.generate(), 4032)):
            async with await Client.connect(server) as late:
                nonce = await late.hear(Nonce)
                proof = key.sign(proof_bytes(nonce.nonce))
                await late.say(Enter(key.public_key().public_bytes_raw(), proof, 1))
                code, said = await late.until_closed()
                assert code == expected
                assert isinstance(said[0], Error)
                assert said[0].retry_after_ms is not None


async def refused(
    server: RoomServer, headers: Mapping[str, str] | None = None
) -> tuple[int, str, str | None]:
    """Status, error and retry of a connection that must not be possible."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
        await Client.connect(server, headers)
    assert handshake.value.headers is not None
    answer = handshake.value.headers
    return handshake.value.status, answer["Weft-Error"], answer.get("Retry-After")


async def test_connections_over_the_limit_are_refused_until_one_ends() -> None:
    async with RoomServer(replace(SETTINGS, connections=1)) as server:
        async with await Client.join(server):
            assert await refused(server) == (503, "4030 server-full", "30")
        await eventually(lambda: server.connections == 0)
        await (await Client.join(server)).leave()


async def test_connections_from_one_address_are_limited() -> None:
    settings = replace(SETTINGS, connections_per_address=1)
    async with RoomServer(settings) as server, await Client.join(server):
        assert await refused(server) == (429, "4031 address-full", "10")
        assert await refused(server, {"X-Forwarded-For": "1.2.3.4"}) == (429, "4031 address-full", "10")


async def test_a_connection_that_ended_no_longer_counts_for_its_address() -> None:
    async with RoomServer(replace(SETTINGS, connections_per_address=1)) as server:
        for _ in range(3):
            await (await Client.join(server)).leave()
            await eventually(lambda: server.connections == 0)


async def test_new_connections_from_one_address_are_limited_in_time() -> None:
    settings = replace(SETTINGS, connect_rate=0.001, connect_burst=2)
    async with RoomServer(settings) as server:
        await (await Client.join(server)).leave()
        await (await Client.join(server)).leave()
        assert (await refused(server))[1] == "4031 address-full"


async def test_behind_a_trusted_proxy_its_clients_are_counted() -> None:
    settings = replace(SETTINGS, connections_per_address=1, trusted_proxies=("127.0.0.0/8",))
    async with RoomServer(settings) as server:
        one = await Client.join(server, headers={"X-Forwarded-For": "6.6.6.6, 1.2.3.4"})
        other = await Client.join(server, headers={"X-Forwarded-For": "6.6.6.6, 5.6.7.8"})
        assert (await refused(server, {"X-Forwarded-For": "7.7.7.7, 1.2.3.4"}))[0] == 429
        await one.leave()
        await other.leave()


async def test_web_pages_may_connect_only_from_listed_origins() -> None:
    async with RoomServer(replace(SETTINGS, allowed_origins=("https://good",))) as server:
        assert await refused(server, {"Origin": "https://evil"}) == (403, "4503 wrong-origin", None)
        await (await Client.join(server, headers={"Origin": "https://good"})).leave()


async def test_health_and_other_pages() -> None:
    async with RoomServer(SETTINGS) as server, aiohttp.ClientSession() as session:
        for path, status in (("/livez", 200), ("/readyz", 200), ("/", 404), ("/v1/ws", 400)):
            async with session.get(server.url + path) as answer:
                assert answer.status == status


async def test_the_report_holds_neither_rooms_nor_addresses_in_clear() -> None:
    events: list[tuple[str, dict[str, object]]] = []
    room = Ed25519PrivateKey.generate()
    async with RoomServer(SETTINGS, report=lambda *event: events.append(event)) as server:
        await (await Client.join(server, room)).leave()
        await refused(server, {"Origin": "https://evil"})
    assert [name for name, _ in events] == ["client.entered", "client.ended", "client.refused"]
    assert "127.0.0.1" not in str(events)
    assert room_id(room.public_key().public_bytes_raw()) not in str(events)


async def test_addresses_are_reported_only_if_the_operator_wants_it() -> None:
    events: list[dict[str, object]] = []
    settings = replace(SETTINGS, log_addresses=True)
    async with RoomServer(settings, report=lambda _, fields: events.append(fields)) as server:
        await (await Client.join(server)).leave()
    assert events[-1]["address"] == "127.0.0.1"


async def test_a_mistake_of_the_server_costs_one_connection_only() -> None:
    def broken(event: str, fields: dict[str, object]) -> None:
        if event == "client.entered" and fields["n"] == 2:
            raise RuntimeError("a mistake")

    async with RoomServer(SETTINGS, report=broken) as server, await Client.join(server) as ann:
        async with await Client.connect(server) as unlucky:
            nonce = await unlucky.hear(Nonce)
            room = Ed25519PrivateKey.generate()
            public = room.public_key().public_bytes_raw()
            await unlucky.say(Enter(public, room.sign(proof_bytes(nonce.nonce)), 1))
            assert (await unlucky.until_closed())[0] == 4050
        await ann.say(Ping())
        assert await ann.hear(Pong) == Pong()
        await eventually(lambda: server.rooms == 1)


async def test_a_server_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with RoomServer(SETTINGS) as server, pair(server) as (ann, _):
        await ann.send(bytes(8), b"")
        raw = await RawClient.connect(server)
    assert await raw.is_hung_up()
    raw.abort()
    await eventually(lambda: asyncio.all_tasks() == before)


async def test_clients_that_hang_up_before_they_are_answered_leave_no_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with RoomServer(SETTINGS) as server:
        for _ in range(20):  # as if the machine had slept meanwhile
            with socket.create_connection(("127.0.0.1", server.port)) as gone:
                gone.sendall(upgrade_request())
        async with await Client.join(server, Ed25519PrivateKey.generate()):
            await eventually(lambda: server.connections == 1)
        await eventually(lambda: server.connections == 0)
    assert [record.message for record in caplog.records if record.exc_info] == []


async def test_two_servers_cannot_have_one_port() -> None:
    async with RoomServer(SETTINGS) as server:
        with pytest.raises(OSError, match="in use"):
            await RoomServer(replace(SETTINGS, port=server.port)).start()


async def test_a_server_that_could_not_start_can_be_stopped() -> None:
    await RoomServer(SETTINGS).stop()


async def test_a_certificate_that_cannot_be_used_is_a_settings_error() -> None:
    settings = replace(SETTINGS, tls_certificate=Path("/nonexistent"), tls_key=Path("/nonexistent"))
    with pytest.raises(SettingsError, match="tls_certificate"):
        await RoomServer(settings).start()


async def test_with_a_certificate_it_speaks_tls(tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate(certificate, key)
    settings = replace(SETTINGS, tls_certificate=certificate, tls_key=key)
    trust = ssl.create_default_context(cafile=str(certificate))
    async with RoomServer(settings) as server, aiohttp.ClientSession() as session:
        assert server.url == f"https://127.0.0.1:{server.port}"
        async with session.ws_connect(server.url + ENDPOINT, ssl=trust) as websocket:
            assert isinstance(decode_from_server((await websocket.receive()).data), Nonce)


def write_certificate(certificate: Path, key: Path) -> None:
    """A certificate for 127.0.0.1 that vouches for itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


async def test_a_new_server_may_listen_on_all_addresses_of_ipv6() -> None:
    async with RoomServer(replace(SETTINGS, host="::1")) as server, pair(server) as (ann, ben):
        assert server.url == f"http://[::1]:{server.port}"
        await ann.websocket.send_bytes(pack_frame(ben.address, b"six"))
        async with asyncio.timeout(PATIENCE):
            assert (await ben.frame()).payload == b"six"


# --- STUN and TURN ------------------------------------------------------------------------------------

TURN = replace(
    SETTINGS,
    stun=("stun:s.example:3478",),
    turn=("turn:t.example",),
    turn_secret="north-wind-and-the-sun\nthe-one-before-that",
)


def expiry_of(listed: tuple[IceServer, ...]) -> int:
    return int((listed[-1].username or "").partition(":")[0])


async def test_whoever_proved_to_belong_gets_credentials_that_expire() -> None:
    async with RoomServer(TURN) as server, pair(server) as (ann, ben):
        stun, turn = ann.welcome.ice_servers
        assert stun == IceServer(("stun:s.example:3478",))
        assert turn.urls == ("turn:t.example?transport=udp", "turn:t.example?transport=tcp")
        assert ann.welcome.ttl == 3600
        assert abs(expiry_of(ann.welcome.ice_servers) - time.time() - 3600) < PATIENCE
        who = (turn.username or "").partition(":")[2]
        assert turn.credential == sign("north-wind-and-the-sun", expiry_of((turn,)), who)[1]
        # one room, one network: one name, whoever it is
        assert (ben.welcome.ice_servers[1].username or "").endswith(f":{who}")
        async with await Client.join(server) as eve:
            assert not (eve.welcome.ice_servers[1].username or "").endswith(f":{who}")


async def test_nobody_gets_credentials_before_the_proof() -> None:
    async with RoomServer(TURN) as server, await Client.connect(server) as eve:
        await eve.say(Ice())
        code, said = await eve.until_closed()
        assert code == 4502
        assert isinstance(said[-1], Error)
        assert "ice came before enter" in said[-1].message
        assert "turn:" not in repr(said)


async def test_a_client_that_asks_too_soon_is_declined_and_stays_connected() -> None:
    async with RoomServer(TURN) as server, pair(server) as (ann, ben):
        for _ in range(3):
            await ann.say(Ice())
            declined = await ann.hear(Declined)
            assert (declined.what, declined.code, declined.name) == ("ice", 4029, "too-fast")
            assert 0 < declined.retry_after_ms <= 60_000
        await ann.send(ben.address, b"still here")
        assert (await ben.frame()).payload == b"still here"


async def test_a_fresh_list_lives_longer_than_the_first() -> None:
    async with RoomServer(replace(TURN, turn_seconds=4.0)) as server, await Client.join(server) as ann:
        first = expiry_of(ann.welcome.ice_servers)
        await ann.say(Ice())
        declined = await ann.hear(Declined)
        assert declined.retry_after_ms <= 1000
        while True:  # the credential says whole seconds, so more than one has to pass
            await asyncio.sleep(declined.retry_after_ms / 1000)
            await ann.say(Ice())
            fresh = await ann.hear(IceServers)
            if expiry_of(fresh.ice_servers) > first:
                break
            await ann.say(Ice())
            declined = await ann.hear(Declined)
        assert fresh.ttl == 4
        assert fresh.ice_servers[1].urls == ann.welcome.ice_servers[1].urls


async def test_without_turn_the_list_is_as_the_operator_wrote_it_and_never_expires() -> None:
    async with RoomServer(replace(SETTINGS, stun=("stun:s",))) as server, await Client.join(server) as ann:
        assert (ann.welcome.ttl, ann.welcome.ice_servers) == (0, (IceServer(("stun:s",)),))
        await ann.say(Ice())
        assert (await ann.hear(Declined)).retry_after_ms <= 60_000
