"""What all connections of one server share, and the conversation that each of them has.

    nonce → enter → welcome, then frames and small talk until one side closes

A refusal raised in here ends the connection that it was raised for, and only that one.
"""

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from random import Random
from typing import Final

from aiohttp import WSMsgType

from signaling.addresses import counted_as
from signaling.connection import HEARD, Connection
from signaling.errors import REASONS, Refusal
from signaling.limits import AddressBook
from signaling.messages import (
    ADDRESS_BYTES,
    CLOSED_FOR_GOOD,
    NONCE_BYTES,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    TOKEN_BYTES,
    Away,
    Back,
    CloseCode,
    Declined,
    Enter,
    Ice,
    IceServer,
    IceServers,
    Joined,
    Left,
    Limits,
    Malformed,
    Nonce,
    PeerGone,
    Ping,
    Pong,
    Welcome,
    address_of,
    decode_from_client,
    encode,
    readdress,
)
from signaling.outbox import Behind, Budget, Kind
from signaling.proofs import room_id, verify, verify_claim
from signaling.rooms import Entered, Gone, Membership, News, Right, Rooms
from signaling.settings import Settings
from signaling.turn import Issuer

__all__ = ["Hub", "Report", "converse"]

Report = Callable[[str, dict[str, object]], None]
"""Takes the name of an event and its fields; must neither wait nor raise."""

_MESSAGES_PER_TURN: Final = 64
"""Messages read from one client before others get their turn: well under a millisecond."""

_MESSAGE_OVERHEAD_BYTES: Final = 8
"""What a message before `enter` counts beside its bytes, so that empty ones are not free."""

_PONG: Final = encode(Pong())


class Hub:
    """The rooms, the limits and the connections of one server."""

    def __init__(self, settings: Settings, report: Report, random: Random) -> None:
        self.settings = settings
        self.report = report
        self.random = random
        self.connections: set[Connection] = set()
        self.budget = Budget(settings.queue_total_bytes)
        self.rooms: Rooms[Connection] = Rooms(
            room_limit=settings.rooms,
            member_limit=settings.room_members,
            away_limit=settings.resume_total,
            room_away_limit=settings.resume_members,
        )
        self.addresses = AddressBook(
            connection_limit=settings.connections_per_address,
            rate=settings.connect_rate,
            burst=settings.connect_burst,
        )
        self.name = f"weft/{_version()}"
        self.issuer = Issuer(
            fixed=settings.ice_servers,
            stun=settings.stun_urls(),
            turn=settings.turn_urls(),
            secrets=settings.turn_secrets(),
            life=settings.turn_seconds,
            key=secrets.token_bytes(32),
        )
        self._salt = secrets.token_bytes(16)
        self._limits = Limits(
            members=settings.room_members,
            message_bytes=settings.message_bytes,
            frames_per_second=settings.frame_rate,
            bytes_per_second=settings.byte_rate,
            queue_bytes=settings.queue_bytes,
        )

    def enter(self, connection: Connection, enter: Enter, nonce: bytes) -> Membership[Connection]:
        """Let a client into its room, and tell it and those who are there.

        Raises:
            Refusal: the protocol, the proof or a limit says no.
        """
        if not PROTOCOL_MIN <= enter.protocol <= PROTOCOL_MAX:
            spoken = f"{PROTOCOL_MIN} to {PROTOCOL_MAX}, not {enter.protocol}"
            raise Refusal(CloseCode.WRONG_PROTOCOL, spoken)
        if not verify(enter.room_key, nonce, enter.signature):
            raise Refusal(CloseCode.WRONG_PROOF)
        name = room_id(enter.room_key)
        entered = self._resume(connection, name, enter, nonce)
        resumed = entered is not None
        if entered is None:
            address, token = secrets.token_bytes(ADDRESS_BYTES), secrets.token_bytes(TOKEN_BYTES)
            right = None if enter.member_key is None else Right(token, enter.member_key)
            entered = self.rooms.enter(name, address, connection, right)
        connection.place = place = entered.membership
        connection.ice.take(asyncio.get_running_loop().time())
        connection.send(encode(self._welcome(connection, entered, resumed=resumed)))
        news = encode((Back if resumed else Joined)(place.address.hex()))
        for other in entered.others.values():
            other.send(news)
        fields = {"n": connection.number, "room": self._tag(name), "members": len(entered.others) + 1}
        self.report("client.resumed" if resumed else "client.entered", fields)
        return place

    def _resume(
        self, connection: Connection, name: str, enter: Enter, nonce: bytes
    ) -> Entered[Connection] | None:
        """Give a client its address back if its claim is good; a bad one is as if it were not there."""
        claim = enter.resume
        place = None if claim is None else self.rooms.find(name, claim.token)
        if claim is None or place is None or place.right is None:
            return None
        if not verify_claim(place.right.key, nonce, claim.token, claim.signature):
            self.report("client.claim-refused", {"n": connection.number, "room": self._tag(name)})
            return None
        entered = self.rooms.resume(place, connection, secrets.token_bytes(TOKEN_BYTES))
        if entered.superseded is not None:
            entered.superseded.end(Refusal(CloseCode.SUPERSEDED))
        return entered

    def leave(self, connection: Connection) -> None:
        """A connection is ending: tell those who stay that its member is gone, or that it may come back."""
        place, ending = connection.place, connection.ending
        if place is None:
            return
        comes_back = not connection.said_goodbye if ending is None else ending.retryable
        if comes_back:
            self._tell(self.rooms.lose(place, asyncio.get_running_loop().time()))
        else:
            self._tell([News("left", place.address, self.rooms.leave(place))])

    def expire(self, now: float) -> None:
        """Give up those who have been away for too long."""
        self._tell(self.rooms.expire(now, self.settings.resume_seconds))

    def _tell(self, news: list[News[Connection]]) -> None:
        for each in news:
            kind = Away if each.what == "away" else Left
            message = Behind(encode(kind(each.address.hex())))
            for other in each.to:
                other.forward(message)  # behind the member's last frames, a goodbye perhaps

    def issue(self, connection: Connection, place: Membership[Connection], now: float) -> None:
        """Give a member the list of STUN and TURN servers anew, unless it had one a moment ago."""
        if connection.ice.take(now):
            self.report("client.ice", {"n": connection.number})
            listed = self._ice_servers(connection, place.room)
            connection.send(encode(IceServers(listed, self.issuer.ttl)))
            return
        reason = REASONS[CloseCode.TOO_FAST]
        wait = math.ceil(connection.ice.wait(now) * 1000)
        message = f"a new list of servers is there every {self.issuer.issue_seconds:g} s"
        connection.send(encode(Declined("ice", int(CloseCode.TOO_FAST), reason.name, message, wait)))

    def _ice_servers(self, connection: Connection, room: str) -> tuple[IceServer, ...]:
        return self.issuer.servers(time.time(), room, counted_as(connection.address))

    def _welcome(self, connection: Connection, entered: Entered[Connection], *, resumed: bool) -> Welcome:
        place = entered.membership
        return Welcome(
            address=place.address.hex(),
            members=tuple(member.hex() for member in entered.others),
            limits=self._limits,
            ice_servers=self._ice_servers(connection, place.room),
            server=self.name,
            motd=self.settings.motd,
            ping_seconds=self.settings.ping_seconds,
            ttl=self.issuer.ttl,
            token=None if place.right is None else place.right.token,
            resume_seconds=None if place.right is None else self.settings.resume_seconds,
            resumed=resumed,
        )

    def _tag(self, room: str) -> str:
        """A name for *room* in the log of this run, from which the room cannot be found."""
        return hashlib.sha256(self._salt + room.encode()).hexdigest()[:8]


async def converse(hub: Hub, connection: Connection) -> None:
    """Talk with one client until either side closes.

    Raises:
        Refusal: the client must be sent away for this reason.
    """
    nonce = secrets.token_bytes(NONCE_BYTES)
    connection.send(encode(Nonce(nonce, hub.name, (PROTOCOL_MIN, PROTOCOL_MAX))))
    try:
        enter = await _hear_enter(hub, connection)
        if enter is not None:
            place = hub.enter(connection, enter, nonce)
            await _pass_on(hub, connection, place)
    except Malformed as problem:
        raise Refusal(CloseCode.MALFORMED, str(problem)) from problem


async def _hear_enter(hub: Hub, connection: Connection) -> Enter | None:
    """Listen until the client has tried to enter; None if it closed instead."""
    time = asyncio.get_running_loop().time
    limit = hub.settings.enter_bytes
    heard = 0
    while True:
        message = await connection.socket.receive()
        if message.type not in HEARD:
            return None
        heard += len(message.data) + _MESSAGE_OVERHEAD_BYTES
        if heard > limit:
            raise Refusal(CloseCode.TOO_LARGE, f"more than {limit}")
        if message.type is WSMsgType.BINARY:
            raise Refusal(CloseCode.OUT_OF_ORDER, "a frame came before enter")
        said = _small_talk(connection, message.type, message.data, time())
        if isinstance(said, Enter):
            return said
        if said is not None:
            raise Refusal(CloseCode.OUT_OF_ORDER, "ice came before enter")


async def _pass_on(hub: Hub, connection: Connection, place: Membership[Connection]) -> None:
    """Pass on what a client inside a room sends, as fast as its limits allow, until it closes."""
    time = asyncio.get_running_loop().time
    receive = connection.socket.receive
    count = 0
    while connection.ending is None:
        message = await receive()
        if message.type not in HEARD:
            connection.said_goodbye = message.type is WSMsgType.CLOSE and message.data == CLOSED_FOR_GOOD
            return
        now = connection.heartbeat.heard_at = time()
        if message.type is WSMsgType.BINARY:
            _relay(connection, place, message.data, now)
        else:
            _answer(hub, connection, place, _small_talk(connection, message.type, message.data, now), now)
        count += 1
        delay = connection.throttle.charge(len(message.data), now)
        if delay or count % _MESSAGES_PER_TURN == 0:
            await asyncio.sleep(delay)


def _answer(
    hub: Hub, connection: Connection, place: Membership[Connection], said: Enter | Ice | None, now: float
) -> None:
    """Answer what only a member may say.

    Raises:
        Refusal: it is inside already.
    """
    if isinstance(said, Enter):
        raise Refusal(CloseCode.OUT_OF_ORDER, "a second enter on one connection")
    if said is not None:
        hub.issue(connection, place, now)


def _relay(connection: Connection, place: Membership[Connection], frame: bytes, now: float) -> None:
    """Hand a frame to the member it is for.

    Raises:
        Malformed: it has no address.
        Refusal: too many frames went to nobody.
    """
    target = address_of(frame)
    if target is None:
        _charge_talk(connection, now)
        return
    receiver = place.relay(target)
    if not isinstance(receiver, Gone):
        receiver.forward(readdress(frame, place.address))
    elif receiver.reason is not None:
        _charge_talk(connection, now)
        connection.forward(Behind(encode(PeerGone(target.hex(), receiver.reason))))


def _small_talk(connection: Connection, kind: WSMsgType, data: bytes, now: float) -> Enter | Ice | None:
    """Answer whatever is not a frame; what means something else before and after `enter` is returned.

    Raises:
        Malformed: it is no control message.
        Refusal: too much of it came.
    """
    connection.heartbeat.heard_at = now
    _charge_talk(connection, now)
    if kind is WSMsgType.PING:
        connection.send(data, Kind.PONG)
    elif kind is WSMsgType.TEXT:
        said = decode_from_client(data)
        if isinstance(said, Enter | Ice):
            return said
        if isinstance(said, Ping):
            connection.send(_PONG)
    return None


def _charge_talk(connection: Connection, now: float) -> None:
    if not connection.talk.take(now):
        raise Refusal(CloseCode.TOO_FAST)


def _version() -> str:
    try:
        return version("weft")
    except PackageNotFoundError:
        return "unknown"
