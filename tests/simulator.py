"""A world for cores: a server, networks, disks and a clock that all come from one seed.

Each node is a real `Session`; everything around it is played.  The world loses, repeats, reorders and delays
what real networks do, partitions pairs, restarts the server and kills nodes; at the end it heals and
looks at what became of every character that anybody typed.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.actions import (
    AcceptAnswer,
    AcceptOffer,
    Action,
    AppendUpdate,
    AskArrived,
    CloseDirect,
    CloseSeal,
    DialDirect,
    OpenSeal,
    SendLossy,
    SendPiece,
    SendRelay,
    Tell,
)
from peer.core.certificates import FOREVER, Role, issue, public_bytes
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import (
    AnswerMade,
    DirectArrived,
    DirectBroken,
    DirectLossyArrived,
    DirectOpened,
    DirectPieceArrived,
    DocumentEdited,
    Event,
    MemberAway,
    MemberJoined,
    MemberLeft,
    NetworkChanged,
    OfferMade,
    PresenceSet,
    RelayPieceArrived,
    SealBroken,
    Sealed,
    ServerEntered,
    ServerLost,
    Tick,
)
from peer.core.greeting import Setup
from peer.core.ids import Attempt, DeviceKey, DocId, client_of, peer_id
from peer.core.notices import Notice
from peer.core.session import Session

LINK_KEY = b"k" * 32
OWNER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
SESSION = public_bytes(OWNER)
DOCS = [DocId(b"doc-%04d" % number) for number in range(2)]


@dataclass
class Weather:
    """How bad it gets; each is a chance per occasion."""

    relay_break: float = 0.002
    lossy_loss: float = 0.2
    lossy_repeat: float = 0.1
    direct_works: float = 0.8
    longest_delay: float = 0.05
    words: tuple[str, ...] = ("lan", "direct", "direct", "turn")
    """What each end of a direct path may take it to be."""


@dataclass
class Node:
    """One peer: what survives a crash, and the core that does not."""

    number: int
    key: Ed25519PrivateKey
    role: Role = Role.EDITOR
    policy: str = "auto"
    log: list[tuple[DocId, bytes]] = field(default_factory=list)
    core: Session | None = None
    address: bytes | None = None
    life: int = 0
    tick_at: float = float("inf")
    notices: list[Notice] = field(default_factory=list)
    typed: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.device = DeviceKey(public_bytes(self.key))


@dataclass
class Pipe:
    """One direction of something ordered: nothing overtakes."""

    last: float = 0.0


class World:
    """Everything around the cores."""

    def __init__(self, seed: int, nodes: int, weather: Weather | None = None) -> None:
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.now = 1000.0
        self.nodes = [
            Node(n, Ed25519PrivateKey.from_private_bytes(bytes([n + 1]) * 32)) for n in range(nodes)
        ]
        self.server_up = True
        self.partitioned: set[frozenset[int]] = set()
        self.deleted: set[str] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._seals: dict[frozenset[bytes], int] = {}
        self._pipes: dict[object, Pipe] = {}
        self._attempts: dict[tuple[int, int, Attempt], tuple[int, int, Attempt] | None] = {}
        self._offers: dict[str, tuple[int, int, Attempt]] = {}
        self._dead: set[tuple[int, int, Attempt]] = set()
        self._closing: set[object] = set()
        self._arrived: dict[tuple[int, int, Attempt], int] = {}
        self._typed = 0

    # --- time ---------------------------------------------------------------------------------------

    def later(self, delay: float, do: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._queue, (self.now + delay, self._order, do))

    def delay(self) -> float:
        return self.random.uniform(0.001, self.weather.longest_delay)

    def in_order(self, pipe: object, do: Callable[[], None]) -> None:
        state = self._pipes.setdefault(pipe, Pipe())
        state.last = max(state.last + 1e-6, self.now + self.delay())
        self.later(state.last - self.now, do)

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Play for *seconds*, or until something holds; true if it came to hold."""
        end = self.now + seconds
        steps = 0
        while self._queue and self._queue[0][0] <= end:
            self.now, _, do = heapq.heappop(self._queue)
            do()
            steps += 1
            if until is not None and steps % 50 == 0 and until():
                return True
        self.now = end
        return until is not None and until()

    # --- nodes ----------------------------------------------------------------------------------------

    def start(self, node: Node) -> None:
        """Start, or start again with what the log holds."""
        node.life += 1
        me = peer_id(node.device, node.life.to_bytes(8))
        documents = Documents(lambda: client_of(me))
        for doc, update in node.log:
            documents.open(doc).load(update)
        chain = issue(
            OWNER, session=SESSION, subject=node.device, role=node.role, until=FOREVER, may_invite=True
        )
        setup = Setup(
            me=me,
            session=SESSION,
            chain=(chain,),
            role=node.role.word,
            name=f"node {node.number}",
            link_key=LINK_KEY,
            host=b"h" * 16,
            version="0",
            policy=node.policy,
            unix_offset=0.0,
            jitter=lambda longest: self.random.uniform(0, longest),
        )
        node.core = Session(setup, documents, self.now)
        self.feed(node, Tick())
        self.enter(node)

    def start_again(self, node: Node) -> None:
        """Start a node unless it runs."""
        if node.core is None:
            self.start(node)

    def kill(self, node: Node) -> None:
        """End a node between two instructions: nothing is said, only the log is left."""
        unlogged = set(node.typed) - set(self.logged(node))
        for character in unlogged - self.deleted:
            assert self.now - node.typed[character] < 0.01, "what was typed a while ago is not in the log"
            del node.typed[character]
        node.core = None
        node.tick_at = float("inf")
        for key, other in list(self._attempts.items()):
            if key[0] == node.number:
                del self._attempts[key]
                if other is not None and self.random.random() < 0.5:
                    self._break(other, "the other side vanished")
        self.leave(node)

    def logged(self, node: Node) -> str:
        """What a node would hold if it were started from its log now."""
        documents = Documents(lambda: 1)
        for doc, update in node.log:
            documents.open(doc).load(update)
        return "".join(documents.open(doc).text for doc in DOCS)

    def feed(self, node: Node, event: Event) -> None:
        if node.core is None:
            return
        for action in node.core.handle(event, self.now):
            self.act(node, action)
        self._arm(node)

    def _arm(self, node: Node) -> None:
        assert node.core is not None
        due = max(node.core.next_deadline(), self.now + 1e-4)
        if due >= node.tick_at > self.now:
            return
        node.tick_at = due
        life = node.life

        def tick() -> None:
            if node.life == life and node.tick_at == due:
                node.tick_at = float("inf")
                self.feed(node, Tick())

        self.later(due - self.now, tick)

    def to(self, node: Node, event: Event) -> Callable[[], None]:
        """Something that tells *node* of *event*, if it is still the same life of it by then."""
        life = node.life

        def tell() -> None:
            if node.life == life:
                self.feed(node, event)

        return tell

    def at(self, address: bytes) -> Node | None:
        return next((node for node in self.nodes if node.address == address), None)

    # --- the server -----------------------------------------------------------------------------------

    def enter(self, node: Node, kept: bytes | None = None) -> None:
        """Let a node into the room; with *kept*, under the address it had before."""
        if not self.server_up or node.core is None or node.address is not None:
            return
        members = tuple(other.address for other in self.nodes if other.address is not None)
        node.address = address = kept or self.random.randbytes(8)
        for other in self.nodes:
            if other.address is not None and other is not node:
                self.in_order(("server", other.number), self.to(other, MemberJoined(address)))
        self.in_order(("server", node.number), self.to(node, ServerEntered(address, members)))

    def leave(self, node: Node, kind: type[MemberLeft | MemberAway] = MemberLeft) -> None:
        address, node.address = node.address, None
        if address is None:
            return
        for other in self.nodes:
            if other.address is not None:
                self.in_order(("server", other.number), self.to(other, kind(address)))
        for pair in [pair for pair in self._seals if address in pair]:
            del self._seals[pair]

    def stop_server(self) -> None:
        self.server_up = False
        self._seals.clear()
        for node in self.nodes:
            if node.address is not None:
                node.address = None
                self.in_order(("server", node.number), self.to(node, ServerLost("gone")))

    def start_server(self) -> None:
        self.server_up = True
        for node in self.nodes:
            self.later(self.delay(), partial(self.enter, node))

    def switch_server(self) -> None:
        """Stop the server, or start it again."""
        if self.server_up:
            self.stop_server()
        else:
            self.start_server()

    def drop_connection(self, node: Node) -> None:
        """The node's connection to the server breaks; it comes back after a moment, or resumes."""
        address = node.address
        if address is None or node.core is None:
            return
        resumes = self.random.random() < 0.5
        self.leave(node, MemberAway if resumes else MemberLeft)
        self.in_order(("server", node.number), self.to(node, ServerLost("dropped")))
        self.later(self.random.uniform(0.1, 3.0), partial(self.enter, node, address if resumes else None))

    def change_network(self, node: Node) -> None:
        """The node is on another network, or so its system says."""
        self.feed(node, NetworkChanged(self.random.randbytes(1), woke=self.random.random() < 0.5))

    # --- actions --------------------------------------------------------------------------------------

    def act(self, node: Node, action: Action) -> None:
        match action:
            case AppendUpdate():
                node.log.append((action.doc, action.update))
            case Tell():
                node.notices.append(action.notice)
            case OpenSeal():
                self._open_seal(node, action.address)
            case SendRelay():
                self._relay(node, action)
            case CloseSeal():
                self._break_seal(node, action.address, tell_us=False)
            case _:
                self._act_on_path(node, action)

    def _act_on_path(self, node: Node, action: Action) -> None:
        match action:
            case DialDirect():
                self._offer(node, action.attempt)
            case AcceptOffer():
                self._answer(node, action)
            case AcceptAnswer():
                self._open(node, action)
            case SendPiece():
                self._send(node, action)
            case SendLossy():
                self._send_lossy(node, action)
            case AskArrived():
                pieces = self._arrived.get((node.number, node.life, action.attempt), 0)
                self.later(0.0, self.to(node, DirectArrived(action.attempt, pieces)))
            case CloseDirect():
                self._close(node, action.attempt, drain=action.drain)
            case _:
                pass

    def _open_seal(self, node: Node, address: bytes) -> None:
        other = self.at(address)
        if other is None or node.address is None:
            return
        pair = frozenset((node.address, address))
        seal = self._seals[pair] = self.random.getrandbits(60)
        binding = seal.to_bytes(8)
        for one, its_peer in ((node, other), (other, node)):
            assert its_peer.address is not None
            self.in_order(
                ("server", one.number), self.to(one, Sealed(its_peer.address, its_peer.device, binding))
            )

    def _relay(self, node: Node, action: SendRelay) -> None:
        other = self.at(action.address)
        if node.address is None or other is None:
            return
        pair = frozenset((node.address, action.address))
        seal = self._seals.get(pair)
        if seal is None:
            return
        if self.random.random() < self.weather.relay_break:
            self._break_seal(node, action.address, tell_us=True)
            return
        sender, life = node.address, other.life

        def deliver() -> None:
            if other.life == life and (self._seals.get(pair) == seal or seal in self._closing):
                self.feed(other, RelayPieceArrived(sender, action.piece))

        self.in_order(("server", other.number), deliver)

    def _break_seal(self, node: Node, address: bytes, *, tell_us: bool) -> None:
        if node.address is None:
            return
        seal = self._seals.pop(frozenset((node.address, address)), None)
        if seal is None:
            return
        if not tell_us:
            self._closing.add(seal)  # an orderly end: what was sent before still arrives
        other = self.at(address)
        if other is not None:
            self.in_order(("server", other.number), self.to(other, SealBroken(node.address, "broken")))
        if tell_us:
            self.in_order(("server", node.number), self.to(node, SealBroken(address, "broken")))

    def _offer(self, node: Node, attempt: Attempt) -> None:
        key = (node.number, node.life, attempt)
        self._attempts[key] = None
        sdp = f"offer {key}"
        self._offers[sdp] = key
        self.later(self.delay(), self.to(node, OfferMade(attempt, sdp)))

    def _answer(self, node: Node, action: AcceptOffer) -> None:
        key = (node.number, node.life, action.attempt)
        self._attempts[key] = None
        sdp = f"answer {key} to {action.sdp}"
        self._offers[sdp] = key
        self.later(self.delay(), self.to(node, AnswerMade(action.attempt, sdp)))

    def _open(self, node: Node, action: AcceptAnswer) -> None:
        ours, theirs = (node.number, node.life, action.attempt), self._offers[action.sdp]
        possible = ours in self._attempts and theirs in self._attempts
        if not possible or self._cut(ours, theirs) or self.random.random() > self.weather.direct_works:
            if self.random.random() < 0.5:
                self.later(self.delay(), partial(self._break, ours, "no route"))
            return
        self._attempts[ours], self._attempts[theirs] = theirs, ours
        for key in (ours, theirs):
            self._pipes.pop(("direct", key), None)
            one = self.nodes[key[0]]
            seen = self.random.choice(self.weather.words)
            self.in_order(("direct", key), self.to(one, DirectOpened(key[2], seen, "10.0.0.1")))

    def _cut(self, one: tuple[int, int, Attempt], other: tuple[int, int, Attempt]) -> bool:
        return frozenset((one[0], other[0])) in self.partitioned

    def _far_end(self, node: Node, attempt: Attempt) -> tuple[int, int, Attempt] | None:
        ours = (node.number, node.life, attempt)
        other = self._attempts.get(ours)
        return None if other is None or self._cut(ours, other) else other

    def _send(self, node: Node, action: SendPiece) -> None:
        ours = (node.number, node.life, action.attempt)
        other = self._far_end(node, action.attempt)
        if other is None or ours in self._dead:
            # what is reliable and ordered delivers nothing more after a gap
            self._dead.add(ours)
            return

        def deliver() -> None:
            target = self.nodes[other[0]]
            open_still = self._attempts.get(other) == ours or ours in self._closing
            if open_still and target.life == other[1]:
                self._arrived[ours] = self._arrived.get(ours, 0) + 1
                self.feed(target, DirectPieceArrived(other[2], action.piece))

        self.in_order(("direct", other), deliver)

    def _send_lossy(self, node: Node, action: SendLossy) -> None:
        other = self._far_end(node, action.attempt)
        if other is None or self.random.random() < self.weather.lossy_loss:
            return
        for _ in range(2 if self.random.random() < self.weather.lossy_repeat else 1):
            target = self.nodes[other[0]]
            if target.life == other[1]:
                self.later(self.delay(), self.to(target, DirectLossyArrived(other[2], action.data)))

    def _close(self, node: Node, attempt: Attempt, *, drain: bool) -> None:
        ours = (node.number, node.life, attempt)
        other = self._attempts.pop(ours, None)
        if drain:
            self._closing.add(ours)
        if other is not None and not self._cut((node.number, 0, attempt), other):
            self._break(other, "closed by the other side")

    def _break(self, key: tuple[int, int, Attempt], reason: str) -> None:
        if key in self._attempts:
            del self._attempts[key]
            node = self.nodes[key[0]]
            if node.life == key[1]:
                self.in_order(("direct", key), self.to(node, DirectBroken(key[2], reason)))

    # --- people ---------------------------------------------------------------------------------------

    def type_somewhere(self, node: Node) -> None:
        """Insert characters that nobody else ever types, or delete one that is there."""
        if node.core is None:
            return
        document = node.core.documents.open(self.random.choice(DOCS))
        text = document.text
        if text and self.random.random() < 0.2:
            at = self.random.randrange(len(text))
            self.deleted.add(text[at])
            document.edit([Edit(at, 1, "")])
        else:
            new = "".join(self._new_character() for _ in range(self.random.choice((1, 1, 1, 3, 40))))
            document.edit([Edit(self.random.randint(0, len(text)), 0, new)])
            for character in new:
                node.typed[character] = self.now
        self.feed(node, DocumentEdited(document.id))
        self.feed(node, PresenceSet(path="doc", cursor=(0, len(text)), typing=True))

    def _new_character(self) -> str:
        # from every width of UTF-8 and UTF-16
        self._typed += 1
        base = (0xA1, 0x4E00, 0x1F300, 0x20000)[self._typed % 4]
        return chr(base + self._typed // 4)

    # --- the end --------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing bad happens any more."""
        self.weather.relay_break = 0.0
        self.partitioned.clear()
        for node in self.nodes:
            self.start_again(node)
        if not self.server_up:
            self.start_server()
        for node in self.nodes:
            self.later(self.random.uniform(0.1, 3.0), partial(self.enter, node))

    def texts(self, node: Node) -> list[str]:
        assert node.core is not None
        return [node.core.documents.open(doc).text for doc in DOCS]

    def converged(self) -> bool:
        first = self.texts(self.nodes[0])
        return all(self.texts(node) == first for node in self.nodes[1:])

    def check(self) -> None:
        """Every character that was typed is there exactly once, or was deleted; so the logs say."""
        expected = {character for node in self.nodes for character in node.typed} - self.deleted
        for node in self.nodes:
            everything = "".join(self.texts(node))
            assert self.logged(node) == everything, f"the log of node {node.number} holds something else"
            assert len(everything) == len(set(everything)), "a character is there twice"
            missing, extra = expected - set(everything), set(everything) - expected - self.deleted
            assert not missing, f"node {node.number} lost {len(missing)} characters"
            assert not extra, f"node {node.number} has characters that nobody typed"
