"""One real session, and others around it that say what a test wants them to say.

A `Host` is a `Session` with everything that it orders; a `Guest` is another member, honest or not, that
speaks to it frame by frame over the relay or a direct path.  There is no network between them.
"""

import hmac
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.actions import (
    AcceptOffer,
    Action,
    DialDirect,
    LoadBlob,
    SendLossy,
    SendPiece,
    SendRelay,
    Tell,
)
from peer.core.certificates import FOREVER, Role, issue, public_bytes
from peer.core.document import Document
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import (
    AnswerMade,
    BlobLoaded,
    DirectOpened,
    DirectPieceArrived,
    DocumentEdited,
    Event,
    MemberJoined,
    OfferMade,
    RelayPieceArrived,
    Sealed,
    ServerEntered,
    Tick,
)
from peer.core.frames import (
    PROTOCOL,
    Ack,
    Answer,
    Frame,
    Hello,
    Offer,
    PathSeen,
    Ping,
    Pong,
    Proof,
    decode,
    encode,
)
from peer.core.greeting import Setup
from peer.core.ids import Attempt, DeviceKey, DocId, PeerId, client_of, peer_id
from peer.core.link import Link, Member
from peer.core.notices import Notice
from peer.core.pieces import DIRECT_WINDOW, RELAY_WINDOW, Incoming, Lane, Outgoing, Window
from peer.core.session import Session, SharedFolder
from peer.errors import Malformed

DOC = DocId(b"document")
OTHER_DOC = DocId(b"another1")
LINK_KEY = b"k" * 32
OWNER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
BINDING = b"this TLS connection"
ADDRESS = b"\x80" * 8
"""Of the host: guests below it begin with TLS themselves, those above wait for it."""

SomeAction = TypeVar("SomeAction", bound=Action)
SomeNotice = TypeVar("SomeNotice", bound=Notice)
SomeFrame = TypeVar("SomeFrame", bound=Frame)


def peer(number: int) -> PeerId:
    """A peer id with this number in it."""
    return peer_id(DeviceKey(bytes((number,)) * 32), bytes((number,)) * 8)


def member(number: int = 1, *, role: str = "editor", policy: str = "auto") -> Member:
    """A member with this number in its id."""
    return Member(peer(number), f"node {number}", role, client_of(peer(number)), b"h" * 16, policy)


def link(orders: list[Action], number: int = 1, *, role: str = "editor", policy: str = "auto") -> Link:
    """A link without carriers, which puts its orders in *orders*."""
    return Link(member(number, role=role), policy, 100.0, orders.append)


def key(number: int) -> Ed25519PrivateKey:
    """The device key with this number."""
    return Ed25519PrivateKey.from_private_bytes(bytes((number,)) * 32)


def device(number: int) -> DeviceKey:
    """Its public half."""
    return DeviceKey(public_bytes(key(number)))


def certificates(
    number: int, role: Role = Role.EDITOR, *, until: int = FOREVER, owner: Ed25519PrivateKey = OWNER
) -> list[bytes]:
    """A chain by which this device may act."""
    subject = device(number)
    return [
        issue(owner, session=public_bytes(owner), subject=subject, role=role, until=until, may_invite=True)
    ]


def setup(number: int, role: Role = Role.EDITOR, policy: str = "auto") -> Setup:
    """Who the device with this number is."""
    return Setup(
        me=peer_id(device(number), bytes((number,)) * 8),
        session=public_bytes(OWNER),
        chain=tuple(certificates(number, role)),
        role=role.word,
        name=f"host {number}",
        link_key=LINK_KEY,
        host=b"h" * 16,
        version="0",
        policy=policy,
        unix_offset=0.0,
    )


def proof(binding: bytes, *, initiator: bool, secret: bytes = LINK_KEY) -> Proof:
    """What shows, for one TLS connection, that its sender holds the session's secret."""
    role = b"initiator" if initiator else b"responder"
    return Proof(hmac.digest(secret, b"weft/1 proof " + role + b"\x00" + binding, "sha256"))


class Host:
    """Our side: one real session, the clock, and all that it ordered.

    Attributes:
        stored: the blobs in its own store, by digest; asked for there, they come at once.
    """

    def __init__(
        self,
        number: int = 1,
        *,
        role: Role = Role.EDITOR,
        policy: str = "auto",
        folder: SharedFolder | None = None,
        enters: bool = True,
    ) -> None:
        self.setup = setup(number, role, policy)
        self.now = 100.0
        self.documents = Documents(lambda: self.setup.client)
        self.session = Session(self.setup, self.documents, self.now, folder=folder)
        self.orders: list[Action] = []
        self.stored: dict[bytes, bytes] = {}
        self.guests: list[Guest] = []
        if enters:
            self.feed(Tick(), ServerEntered(ADDRESS, (ADDRESS,)))

    def feed(self, *events: Event) -> list[Action]:
        """Let these happen at once; what is sent reaches the guests."""
        actions = self.session.handle_all(events, self.now)
        self.orders += actions
        for action in actions:
            if isinstance(action, SendRelay | SendPiece | SendLossy):
                for guest in self.guests:
                    guest.receive(action)
        for guest in self.guests:
            guest.acknowledge()
        for action in actions:
            if isinstance(action, LoadBlob) and action.peer == self.setup.me:
                content = self.stored.get(action.digest)
                self.feed(BlobLoaded(action.peer, action.digest, 0, len(content or b""), content))
        return actions

    def wait(self, seconds: float) -> None:
        """Let time pass, waking the session whenever it asks for that."""
        end = self.now + seconds
        for _ in range(10_000):
            self.now = min(end, max(self.now, self.session.next_deadline()))
            self.feed(Tick())
            if self.now >= end:
                return
        raise AssertionError(f"the session did not let time go on beyond {self.now}")

    def wakes(self) -> float:
        """Seconds from now until the session wants to be woken."""
        return self.session.next_deadline() - self.now

    def ordered(self, kind: type[SomeAction]) -> list[SomeAction]:
        """All orders of this kind so far."""
        return [order for order in self.orders if isinstance(order, kind)]

    def told(self, kind: type[SomeNotice]) -> list[SomeNotice]:
        """All notices of this kind so far."""
        return [order.notice for order in self.ordered(Tell) if isinstance(order.notice, kind)]

    def type(self, text: str, doc: DocId = DOC, at: int = 0) -> None:
        """Insert *text* here."""
        self.documents.open(doc).edit([Edit(at, 0, text)])
        self.feed(DocumentEdited(doc))

    def text(self, doc: DocId = DOC) -> str:
        """What the host holds."""
        return self.documents.open(doc).text

    def knows(self, guest: "Guest") -> bool:
        """Whether there is a link to this guest."""
        return guest.id[:4].hex() + guest.id[-4:].hex() in [state.id for state in self.session.peers()]


class Guest:
    """Another member, which says what it is told to say.

    Attributes:
        heard: all frames that came from the host, with their lanes.
        lossy: what came over the lossy channel.
        acknowledges: whether it tells the host what has arrived.
        answers: whether it answers the first ping of each carrier, by which its round trip is known.
        secret: the key for its proof.
    """

    def __init__(
        self,
        host: Host,
        number: int = 2,
        *,
        role: Role = Role.EDITOR,
        policy: str = "auto",
        address: bytes | None = None,
        instance: bytes | None = None,
        client: int | None = None,
    ) -> None:
        self.host = host
        self.number = number
        self.device = device(number)
        self.instance = bytes((number,)) * 8 if instance is None else instance
        self.id = peer_id(self.device, self.instance)
        self.client = client_of(self.id) if client is None else client
        self.address = bytes((number,)) * 8 if address is None else address
        self.policy = policy
        self.chain = certificates(number, role)
        self.secret = LINK_KEY
        self.heard: list[tuple[Lane, Frame | None]] = []
        self.lossy: list[bytes] = []
        self.acknowledges = True
        self.answers = True
        self._asked: list[tuple[bool, int]] = []
        self.attempt: Attempt | None = None
        self._relay = (Outgoing(RELAY_WINDOW), Incoming(RELAY_WINDOW))
        self._direct = (Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW))
        self._documents: dict[DocId, Document] = {}
        host.guests.append(self)

    @property
    def initiator(self) -> bool:
        """Whether this guest begins with TLS."""
        return self.address < ADDRESS

    # --- arriving -----------------------------------------------------------------------------------

    def seal(self, binding: bytes = BINDING) -> None:
        """TLS stands, anew."""
        self._relay = (Outgoing(RELAY_WINDOW), Incoming(RELAY_WINDOW))
        self.host.feed(Sealed(self.address, self.device, binding))

    def prove(self) -> None:
        """Show that it holds the secret."""
        self.say(proof(BINDING, initiator=self.initiator, secret=self.secret))

    def hello(self, protocol: int = PROTOCOL, name: str | None = None) -> Hello:
        """How it introduces itself."""
        shown = f"guest {self.number}" if name is None else name
        return Hello(protocol, self.instance, self.chain, shown, b"h" * 16, self.client, "0", self.policy)

    def join(self) -> "Guest":
        """Do all that makes a link over the relay."""
        self.host.feed(MemberJoined(self.address))
        return self.greet()

    def greet(self) -> "Guest":
        """Do all that makes a link, once it is known to be in the room."""
        self.seal()
        self.prove()
        self.say(self.hello())
        return self

    def open_direct(
        self, path: str = "direct", *, they_say: str | None = "", beside: bool = False
    ) -> "Guest":
        """Do all that opens a direct path, whoever dials; the guest sees the same, or says something else."""
        if self.host.setup.me < self.id:
            self.attempt = self.host.ordered(DialDirect)[-1].attempt
            self.host.feed(OfferMade(self.attempt, "offer"))
            self.say(Answer(self.attempt, "answer"))
        else:
            self.say(Offer(len(self.host.ordered(AcceptOffer)) + 7, "offer", beside))
            self.attempt = self.host.ordered(AcceptOffer)[-1].attempt
            self.host.feed(AnswerMade(self.attempt, "answer"))
        self._direct = (Outgoing(DIRECT_WINDOW), Incoming(DIRECT_WINDOW))
        self.host.feed(DirectOpened(self.attempt, path, "10.0.0.1"))
        if they_say is not None:
            self.say(PathSeen(they_say or path), direct=True)
        return self

    def ignore_windows(self) -> "Guest":
        """Say from now on as much at once as it likes."""
        wide = Window(1 << 20, 1 << 30, 1 << 30, 1, 1)
        self._relay = (Outgoing(wide), self._relay[1])
        return self

    # --- saying --------------------------------------------------------------------------------------

    def say(self, frame: Frame, lane: Lane = Lane.CONTROL, *, direct: bool = False) -> None:
        """Say one frame."""
        self.say_all([frame], lane, direct=direct)

    def say_all(self, frames: Sequence[Frame], lane: Lane = Lane.CONTROL, *, direct: bool = False) -> None:
        """Say several frames, which arrive together."""
        out = (self._direct if direct else self._relay)[0]
        pieces: list[bytes] = []
        for frame in frames:
            out.push(lane, encode(frame))
            pieces += out.pieces()
        self.host.feed(*[self.carried(piece, direct=direct) for piece in pieces])

    def carried(self, piece: bytes, *, direct: bool = False) -> Event:
        """This piece as it arrives at the host."""
        if direct:
            assert self.attempt is not None
            return DirectPieceArrived(self.attempt, piece)
        return RelayPieceArrived(self.address, piece)

    # --- hearing ---------------------------------------------------------------------------------------

    def receive(self, action: SendRelay | SendPiece | SendLossy) -> None:
        """Take one piece of the host, if it is for this guest."""
        if isinstance(action, SendRelay) and action.address == self.address:
            self._take(self._relay, action.piece)
        elif isinstance(action, SendPiece) and action.attempt == self.attempt:
            self._take(self._direct, action.piece)
        elif isinstance(action, SendLossy) and action.attempt == self.attempt:
            self.lossy.append(action.data)

    def _take(self, carrier: tuple[Outgoing, Incoming], piece: bytes) -> None:
        out, incoming = carrier
        whole = incoming.receive(piece)
        if whole is None:
            return
        frame = decode(whole[1])
        self.heard.append((whole[0], frame))
        if isinstance(frame, Ping) and frame.number == 1:
            self._asked.append((carrier is self._direct, frame.number))
        if isinstance(frame, Ack | Pong):
            with suppress(Malformed):  # a test may have sent pieces that were not counted here
                out.acknowledge(frame.received)

    def acknowledge(self, *, all_of_it: bool = False) -> None:
        """Tell the host what has arrived, if it is time to."""
        while self.answers and self._asked:
            by_direct, number = self._asked.pop()
            self.say(Pong(number, 0), direct=by_direct)
        for direct, (_, incoming) in enumerate((self._relay, self._direct)):
            if (self.acknowledges and incoming.ack_due()) or (all_of_it and incoming.received):
                self.say(Ack(incoming.reported()), direct=bool(direct))

    def said(self, kind: type[SomeFrame]) -> list[SomeFrame]:
        """All frames of this kind that the host said."""
        return [frame for _, frame in self.heard if isinstance(frame, kind)]

    # --- writing -----------------------------------------------------------------------------------------

    def document(self, doc: DocId = DOC) -> Document:
        """Its own copy of a document."""
        if doc not in self._documents:
            self._documents[doc] = Document(doc, self.client, lambda _: None)
        return self._documents[doc]

    def typed(self, text: str, doc: DocId = DOC, at: int = 0) -> bytes:
        """Insert *text* in its own copy; the update that says so."""
        self.document(doc).edit([Edit(at, 0, text)])
        (update,) = self.document(doc).take_local()
        return update
