"""From an address in the room to a member we know: the sealed link and the first frame on it.

    KNOWN --sealed--> PROVING --proof checked--> GREETING --hello checked--> handed over as a link
    any --broken or too slow--> LOST --later--> KNOWN

The side with the smaller address starts TLS (and starts again when it broke).  TLS proves device keys to
anyone, so each side first proves that it holds the session's secret, bound to this TLS connection: only
then is it told who we are.  Nothing it says is believed before its certificate chain fits the device key.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from peer.core.actions import Action, CloseSeal, OpenSeal, Tell
from peer.core.carrier import Carrier
from peer.core.certificates import verify_chain
from peer.core.frames import PROTOCOL, Bye, Frame, Hello, Proof, encode
from peer.core.ids import DeviceKey, PeerId, client_of, device_of, peer_id, room_of
from peer.core.link import Member
from peer.core.notices import Warned
from peer.core.pieces import LANE_MASK, Lane
from peer.errors import Refused, RemoteError

__all__ = [
    "APPROACHES_LIMIT",
    "GREETING_TIMEOUT",
    "REFUSED_FOR",
    "REFUSED_LIMIT",
    "SEAL_DELAYS",
    "Greeting",
    "Setup",
]

GREETING_TIMEOUT: Final = 10.0
"""Seconds from the first TLS byte to the checked hello: a few round trips, generously."""
SEAL_DELAYS: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before TLS is tried again with someone who is still in the room."""
APPROACHES_LIMIT: Final = 256
"""Addresses that we deal with at once: four for each of the 64 members of the largest room."""
REFUSED_FOR: Final = 600.0
"""Seconds for which a device that broke the protocol is not talked to: time to update or to leave it."""
REFUSED_LIMIT: Final = 256
"""Devices that are remembered for that; the oldest is forgotten first."""
NAME_LIMIT: Final = 128
"""Characters of a name that fit in a hello."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Who we are in this session; fixed for one run of the program.

    Attributes:
        me: our peer id.
        session: public key of the session's owner.
        chain: our certificates, the owner's first.
        link_key: 32 bytes derived from the session's secret, for the proof that we hold it.
        host: equal for peers on one machine (the same kernel and network), random otherwise.
        policy: one of `policy.POLICIES`.
        unix_offset: what to add to `now` to get seconds since 1970.
        jitter: cuts a wait down at random, so that many who lost the same thing do not come back at once.
    """

    me: PeerId
    session: bytes
    chain: tuple[bytes, ...]
    role: str
    name: str
    link_key: bytes = field(repr=False)  # must not reach a log by way of a format string
    host: bytes
    version: str
    policy: str
    unix_offset: float
    jitter: Callable[[float], float] = float

    @property
    def client(self) -> int:
        """The CRDT client id of every edit that this run makes."""
        return client_of(self.me)


@dataclass(slots=True)
class _Approach:
    initiator: bool
    device: DeviceKey | None = None
    binding: bytes = b""
    proved: bool = False
    carrier: Carrier | None = None
    deadline: float | None = None
    retry_at: float | None = None
    failures: int = 0


class Greeting:
    """Everyone in the room who is not a link yet.

    *admit* is asked about each member that said who it is; it raises `Refused` for one who may not come in.
    """

    def __init__(self, setup: Setup, emit: Callable[[Action], None], admit: Callable[[Member], None]) -> None:
        self._setup = setup
        self._emit = emit
        self._admit = admit
        self._rooms: dict[bytes, tuple[bytes, str]] = {}
        self._approaches: dict[bytes, _Approach] = {}
        self._refused: dict[bytes, float] = {}

    def entered(self, address: bytes, members: tuple[bytes, ...], now: float, path: str = "relay") -> None:
        """We are in a room under *address*, with *members*; links through it are called *path*."""
        room = room_of(address)
        self._rooms[room] = (address, path)
        for approached in self._in_room(room):
            del self._approaches[approached]
        for member in members:
            self.joined(member, now)

    def _in_room(self, room: bytes) -> list[bytes]:
        return [address for address in self._approaches if room_of(address) == room]

    def _own_address(self, address: bytes) -> bytes:
        """What we are called in the room of *address*; empty if we are not in it."""
        return self._rooms.get(room_of(address), (b"", ""))[0]

    def joined(self, address: bytes, now: float) -> None:
        """Somebody is in the room: start, or wait for them to."""
        if address == self._own_address(address):
            return
        self._approaches.pop(address, None)
        approach = self._approach(address)
        if approach is not None and approach.initiator:
            self._open(address, approach, now)

    def _approach(self, address: bytes) -> _Approach | None:
        """What we know of this address; `None` if we are not in its room, or deal with too many already."""
        approach = self._approaches.get(address)
        is_welcome = room_of(address) in self._rooms and len(self._approaches) < APPROACHES_LIMIT
        if approach is None and is_welcome:
            approach = self._approaches[address] = _Approach(initiator=self._own_address(address) < address)
        return approach

    def left(self, address: bytes) -> None:
        """Somebody left before we knew them."""
        if self._approaches.pop(address, None) is not None:
            self._emit(CloseSeal(address))

    def server_lost(self, room: bytes = b"") -> None:
        """A room is gone, and all addresses in it."""
        self._rooms.pop(room, None)
        for address in self._in_room(room):
            self._emit(CloseSeal(address))
            del self._approaches[address]

    def sealed(self, address: bytes, device: DeviceKey, binding: bytes, now: float) -> None:
        """TLS stands: prove that we hold the session's secret, over a carrier that is not trusted yet."""
        approach = self._approach(address)
        if approach is None:
            self._emit(CloseSeal(address))
            return
        if (until := self._refused.get(device, now)) > now:
            self.broken(address, now, wait=until - now)
            return
        approach.device = device
        approach.binding = binding
        approach.proved = False
        approach.carrier = Carrier(address, now, self._rooms[room_of(address)][1])
        approach.deadline = now + GREETING_TIMEOUT
        self._say(approach.carrier, Proof(self._mac(binding, initiator=approach.initiator)))

    def _mac(self, binding: bytes, *, initiator: bool) -> bytes:
        # the role is part of it, so that a proof cannot be reflected
        role = b"initiator" if initiator else b"responder"
        return hmac.digest(self._setup.link_key, b"weft/1 proof " + role + b"\x00" + binding, "sha256")

    def _hello(self) -> Hello:
        setup = self._setup
        return Hello(
            PROTOCOL,
            setup.me[32:],
            list(setup.chain),
            setup.name[:NAME_LIMIT],
            setup.host,
            setup.client,
            setup.version,
            setup.policy,
        )

    def _say(self, carrier: Carrier, frame: Frame) -> None:
        carrier.out.push(Lane.CONTROL, encode(frame))
        for order in carrier.orders():
            self._emit(order)

    def piece(self, address: bytes, piece: bytes, now: float) -> tuple[Member, Carrier] | None:
        """Take a piece from someone unknown; return them once they are known.

        Raises:
            RemoteError: what they sent, or who they are, is not acceptable; they are cut off already.
        """
        approach = self._approaches.get(address)
        if approach is None or approach.carrier is None or approach.device is None:
            return None
        try:
            if piece and piece[0] & LANE_MASK:
                raise Refused("the other side spoke before it said who it is")
            arrived = approach.carrier.receive(piece, now)
            if arrived is None:
                return None
            if not approach.proved:
                self._check_proof(approach, arrived[1])
                self._say(approach.carrier, self._hello())
                return None
            member = self._check_hello(arrived[1], approach.device, now)
            self._admit(member)
        except RemoteError as error:
            if approach.proved:
                self._say(approach.carrier, Bye(f"refused: {error}"[:120]))
            # a refused member would be met, and lost, again and again
            self.broken(address, now, wait=REFUSED_FOR if approach.proved else 0.0)
            raise
        del self._approaches[address]
        return member, approach.carrier

    def _check_proof(self, approach: _Approach, frame: Frame) -> None:
        expected = self._mac(approach.binding, initiator=not approach.initiator)
        if not isinstance(frame, Proof) or not hmac.compare_digest(frame.mac, expected):
            raise Refused("someone in the room does not hold the session's secret, or the server meddles")
        approach.proved = True

    def _check_hello(self, frame: Frame, device: DeviceKey, now: float) -> Member:
        if isinstance(frame, Bye):
            raise Refused(f"the other side will not talk to us: {frame.reason}")
        if not isinstance(frame, Hello):
            raise Refused("the other side spoke before it said who it is")
        setup = self._setup
        if frame.protocol < PROTOCOL:
            raise Refused(f"{frame.name} runs an older Weft ({frame.version}); it must be updated there")
        unix = now + setup.unix_offset
        role = verify_chain([bytes(c) for c in frame.chain], setup.session, device, unix)
        them = peer_id(device, frame.instance)
        if them == setup.me:
            raise Refused("the server showed us our own face")
        if self._refused.get(them, now) > now:
            raise Refused("it broke the protocol a moment ago")
        if frame.client != client_of(them):
            raise Refused(f"{frame.name} claims to write with the id of somebody else")
        return Member(them, frame.name, role.word, frame.client, frame.host, frame.path_policy)

    def broken(self, address: bytes, now: float, *, wait: float = 0.0) -> None:
        """The sealed link failed, or was closed by us: try again later if it is ours to start.

        *wait* is the least time until then, in seconds.
        """
        self._emit(CloseSeal(address))
        approach = self._approach(address)
        if approach is None:
            return
        approach.carrier = approach.device = approach.deadline = None
        if approach.initiator:
            delay = SEAL_DELAYS[min(approach.failures, len(SEAL_DELAYS) - 1)]
            approach.failures += 1
            approach.retry_at = max(now + max(delay, wait), approach.retry_at or 0.0)

    def refuse(self, peer: PeerId, now: float) -> None:
        """Do not talk to this peer's device for `REFUSED_FOR` seconds; if it is ours, not to that run."""
        device = device_of(peer)
        name = peer if device == device_of(self._setup.me) else device
        self._refused.pop(name, None)
        self._refused[name] = now + REFUSED_FOR
        if len(self._refused) > REFUSED_LIMIT:
            del self._refused[next(iter(self._refused))]

    def tick(self, now: float) -> None:
        """Start again with those who broke, give up those who take too long."""
        for address, approach in list(self._approaches.items()):
            if approach.deadline is not None and now >= approach.deadline:
                message = "someone in the room did not say who they are within 10 seconds"
                self._emit(Tell(Warned("W-GREETING", message)))
                self.broken(address, now)
            if approach.retry_at is not None and now >= approach.retry_at:
                approach.retry_at = None
                self._open(address, approach, now)

    def _open(self, address: bytes, approach: _Approach, now: float) -> None:
        approach.deadline = now + GREETING_TIMEOUT
        self._emit(OpenSeal(address, initiator=True))

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        moments = [
            moment
            for approach in self._approaches.values()
            for moment in (approach.deadline, approach.retry_at)
            if moment is not None
        ]
        return min(moments, default=None)
