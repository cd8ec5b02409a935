"""A folder, its editors and its peers without any I/O: a disk in memory, a clock, and chance from a seed."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from peer.core.actions import (
    Action,
    FileAction,
    ForgetShadow,
    MoveFile,
    ReadFile,
    RemoveFile,
    ReplaceFile,
    SaveBlob,
    SaveShadow,
    Tell,
)
from peer.core.contents import BLOB_LIMIT, digest_of
from peer.core.documents import Documents
from peer.core.events import (
    DisplacedChanged,
    FileEvent,
    FileMissing,
    FileMoved,
    FileRemoved,
    FileReplaced,
    FileSeen,
    ReplaceRefused,
    ScanFinished,
    Stamp,
)
from peer.core.files import Files
from peer.core.ids import INDEX, DocId
from peer.core.notices import Author, Notice

SHADOWS_KEPT = 10
FILE_TIME = 0.004
"""Steps in which file systems count time."""


class World:
    """A clock, and what happens when."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 100.0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._clients = 0

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (self.now + seconds, self._count, call))

    def chance(self, most: float) -> float:
        return self.random.random() * most

    def soon(self, call: Callable[[], None], most: float = 0.02) -> None:
        self.later(self.chance(most), call)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, call = heapq.heappop(self._queue)
            call()
        self.now = end

    def client_id(self) -> int:
        self._clients += 1
        return self._clients


@dataclass(eq=False)
class Inode:
    number: int
    content: bytes
    mode: int = 0o644
    written: float = 0.0
    open: bool = False


@dataclass
class Disk:
    """Names and what they stand for; told of every change."""

    changed: Callable[[str], None] = lambda path: None
    changed_displaced: Callable[[str, Inode], None] = lambda path, inode: None
    clock: Callable[[], float] = lambda: 0.0
    files: dict[str, Inode] = field(default_factory=dict)
    inodes: int = 0

    def make(self, content: bytes, mode: int = 0o644) -> Inode:
        self.inodes += 1
        return Inode(self.inodes, content, mode, self.clock())

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A new file in one step, over what was there."""
        self.files[path] = self.make(content, mode)
        self.changed(path)

    def write(self, path: str, inode: Inode, content: bytes, *, open: bool = False) -> None:
        """Write into a file that may have lost its name meanwhile; it stays *open*, or is closed."""
        inode.content, inode.written, inode.open = content, self.clock(), open
        if self.files.get(path) is inode:
            self.changed(path)
        else:
            self.changed_displaced(path, inode)

    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.changed(path)

    def rename(self, old: str, new: str) -> None:
        self.files[new] = self.files.pop(old)
        self.changed(old)
        self.changed(new)

    def read(self, path: str) -> bytes | None:
        inode = self.files.get(path)
        return None if inode is None else inode.content


@dataclass
class Store:
    """What survives a crash."""

    updates: list[tuple[DocId, bytes]] = field(default_factory=list)
    shadows: dict[DocId, list[SaveShadow]] = field(default_factory=dict)
    blobs: dict[bytes, bytes] = field(default_factory=dict)

    def save_shadow(self, shadow: SaveShadow) -> None:
        rows = self.shadows.setdefault(shadow.doc, [])
        if rows and rows[-1].content == shadow.content and rows[-1].intent and not shadow.intent:
            rows.pop()
        rows.append(shadow)
        del rows[:-SHADOWS_KEPT]

    def all_shadows(self) -> list[SaveShadow]:
        found = []
        for rows in self.shadows.values():
            found += [replace(row, intent=False) for row in rows[:-1]] + rows[-1:]
        return found


class Side:
    """One peer: its disk, its store, its core, and the edge between them."""

    def __init__(
        self, world: World, name: str, *, read_only: bool = False, hears_writers: bool = True
    ) -> None:
        """With *hears_writers*, the system tells which files are open, and what becomes of displaced ones."""
        self.world = world
        self.hears_writers = hears_writers
        self.name = name
        self.read_only = read_only
        self.disk = Disk(self._watched, self._watched_displaced, lambda: world.now)
        self.store = Store()
        self.peers: list[Side] = []
        self.notices: list[Notice] = []
        self.run_number = 0
        self.leftovers: list[tuple[str, Inode]] = []
        self._displaced: dict[Inode, tuple[bytes, bool]] = {}
        self._told_until = 0.0
        self.start()

    # --- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        self.run_number += 1
        self.alive = True
        self.documents = Documents(self.world.client_id)
        self.documents.open(INDEX)
        for doc, update in self.store.updates:
            self.documents.open(doc).load(update)
        self.documents.changed.clear()
        self.files = Files(
            self.documents, self.name, random.Random(self.world.random.random()), read_only=self.read_only
        )
        self.files.start(self.store.all_shadows())
        run = self.run_number
        self.world.soon(lambda: self._scan(run))

    def crash(self) -> None:
        """Everything in memory is lost, and so is what was asked of the disk and not done yet."""
        if not self.alive:
            return
        self.run_number += 1
        self.alive = False
        self.world.later(0.1 + self.world.random.random(), self.start)

    def _scan(self, run: int) -> None:
        if run == self.run_number:
            for path in sorted(self.disk.files):
                self._report(path)
            self._emit(ScanFinished())
            for path, inode in self.leftovers:
                self._emit(DisplacedChanged(path, inode.content))
            self.leftovers.clear()
            for peer in self.peers:
                self._meet(peer)
                peer._meet(self)

    def _meet(self, peer: "Side") -> None:
        for document in list(self.documents) if self.alive else ():
            update = document.full_state()
            self.world.soon(partial(peer.receive, self, document.id, update), 0.2)

    # --- events and actions ----------------------------------------------------------------------------

    def event(self, event: FileEvent) -> None:
        if self.alive:
            if isinstance(event, FileReplaced) and self.leftovers:
                self.leftovers = [(path, inode) for path, inode in self.leftovers if path != event.path]
            self.perform(self.files.handle(event, self.world.now))

    def receive(self, sender: "Side", doc: DocId, update: bytes) -> None:
        if not self.alive:
            return
        self.documents.open(doc).apply(update)
        self.store.updates.append((doc, update))
        self.perform(self.files.documents_changed({doc: Author(sender.name)}, self.world.now))

    def perform(self, actions: list[Action]) -> None:
        """One batch: everything for the store first, then the disk and the peers."""
        for doc in list(self.documents.changed):
            self.documents.changed.discard(doc)
            self._publish(doc)
        for action in actions:
            self._store(action)
        run = self.run_number
        for action in actions:
            if isinstance(action, ReadFile | ReplaceFile | RemoveFile | MoveFile):
                self.world.soon(partial(self._carry_out, action, run))
        for digest, _ in sorted(self.files.missing_blobs()):
            self.world.soon(partial(self._fetch, digest), 0.1)
        deadline = self.files.next_deadline()
        if deadline is not None:
            self.world.later(max(0.0, deadline - self.world.now), partial(self._tick, run))

    def _publish(self, doc: DocId) -> None:
        for update in self.documents.open(doc).take_local():
            self.store.updates.append((doc, update))
            for peer in self.peers:
                self.world.soon(partial(self._send, peer, doc), 0.03)

    def _send(self, peer: "Side", doc: DocId) -> None:
        # CRDT updates of one document must not overtake each other: send all that is known.
        if doc in self.documents.ids():
            peer.receive(self, doc, self.documents.open(doc).full_state())

    def _tick(self, run: int) -> None:
        deadline = self.files.next_deadline()
        if run == self.run_number and deadline is not None and deadline <= self.world.now + 1e-9:
            self.perform(self.files.tick(self.world.now))

    def _store(self, action: Action) -> None:
        if isinstance(action, SaveShadow):
            self.store.save_shadow(action)
        elif isinstance(action, ForgetShadow):
            self.store.shadows.pop(action.doc, None)
        elif isinstance(action, SaveBlob):
            self.store.blobs[action.digest] = action.content
        elif isinstance(action, Tell):
            self.notices.append(action.notice)

    def _fetch(self, digest: bytes) -> None:
        for side in (self, *self.peers) if self.alive else ():
            content = side.store.blobs.get(digest)
            if content is not None and any(digest == wanted for wanted, _ in self.files.missing_blobs()):
                self.perform(self.files.blob_arrived(digest, content, self.world.now))
                return

    # --- the edge ----------------------------------------------------------------------------------------

    def _watched(self, path: str) -> None:
        run = self.run_number
        self.world.soon(lambda: self._report(path) if run == self.run_number else None)

    def _report(self, path: str) -> None:
        inode = self.disk.files.get(path)
        if inode is None:
            self._emit(FileMissing(path))
        else:
            content = inode.content if len(inode.content) <= BLOB_LIMIT else None
            self._emit(FileSeen(path, content, self._stamp(inode)))

    def _emit(self, event: FileEvent) -> None:
        """Events reach the core a moment later, in the order in which they came about."""
        run = self.run_number
        due = max(self._told_until, self.world.now + self.world.chance(0.02))
        self._told_until = due
        self.world.later(due - self.world.now, lambda: self.event(event) if run == self.run_number else None)

    def _stamp(self, inode: Inode) -> Stamp:
        whole = not inode.open if self.hears_writers else None
        time = int(inode.written / FILE_TIME) * int(FILE_TIME * 1e9)
        return Stamp(inode.number, time, len(inode.content), inode.mode, whole)

    def _carry_out(self, action: FileAction, run: int) -> None:
        if run != self.run_number and (isinstance(action, ReadFile) or self.world.random.random() < 0.5):
            return  # the crash came first
        event = self._outcome(action, run)
        if event is not None and run == self.run_number:
            self._emit(event)

    def _outcome(self, action: FileAction, run: int) -> FileEvent | None:
        if isinstance(action, ReadFile):
            self._report(action.path)
            return None
        if isinstance(action, ReplaceFile):
            return self._replace(action, run)
        if isinstance(action, MoveFile):
            return self._move(action)
        refusal = self._refusal(action.path, action.expected)
        if refusal is not None:
            return refusal
        self.disk.remove(action.path)
        return FileRemoved(action.path)

    def _move(self, action: MoveFile) -> FileEvent:
        refusal = self._refusal(action.old, action.expected) or self._refusal(action.new, None)
        if refusal is not None:
            return refusal
        self.disk.rename(action.old, action.new)
        return FileMoved(action.old, action.new, self._stamp(self.disk.files[action.new]))

    def _refusal(self, path: str, expected: bytes | None) -> ReplaceRefused | None:
        inode = self.disk.files.get(path)
        holds = None if inode is None else digest_of(inode.content)
        if holds == expected:
            return None
        if inode is None:
            return ReplaceRefused(path, None, None)
        return ReplaceRefused(path, inode.content, self._stamp(inode))

    def _replace(self, action: ReplaceFile, run: int) -> FileEvent | None:
        refusal = self._refusal(action.path, action.expected)
        if refusal is not None:
            return refusal
        old = self.disk.files.get(action.path)
        new = self.disk.make(action.content, action.mode)

        def exchange() -> None:
            # between the look and the exchange a save may have come, or the file may have gone
            displaced = self.disk.files.get(action.path)
            if (displaced is None) != (old is None):
                refused = self._refusal(action.path, action.expected)
                if refused is not None and run == self.run_number:
                    self._emit(refused)
                return
            self.disk.files[action.path] = new
            self.disk.changed(action.path)
            done = FileReplaced(action.path, self._stamp(new), None)
            if displaced is not None:
                done = replace(done, displaced=displaced.content, was=self._stamp(displaced))
                self._displace(action.path, displaced, run)
            if run == self.run_number:
                self._emit(done)

        self.world.soon(exchange, 0.002)
        return None

    def _displace(self, path: str, displaced: Inode, run: int) -> None:
        for wait in (0.25, 1.5):
            self.world.later(wait, lambda: self._look_displaced(path, displaced, run))
        self._displaced[displaced] = displaced.content, displaced.open
        self.leftovers.append((path, displaced))

    def _watched_displaced(self, path: str, inode: Inode) -> None:
        if self.hears_writers and inode in self._displaced:
            self.world.soon(lambda: self._look_displaced(path, inode, self.run_number))

    def _look_displaced(self, path: str, inode: Inode, run: int) -> None:
        held = inode.content, inode.open
        if held != self._displaced.get(inode):
            self._displaced[inode] = held
            # the edge keeps displaced files where it finds them again after a crash
            self._emit(DisplacedChanged(path, inode.content, self._stamp(inode)))


class Editor:
    """One program that edits one file."""

    def __init__(self, side: Side, path: str, *, stale: bool, in_steps: bool) -> None:
        self.side = side
        self.path = path
        self.stale = stale
        self.in_steps = in_steps
        self.buffer: str | None = None
        self.busy = False
        self.wanted: set[str] = set()

    def work(self, token: str) -> None:
        """Type a token and save; a save takes its time."""
        if self.busy:
            return
        if not self.stale or self.buffer is None:
            content = self.side.disk.read(self.path)
            if content is None:
                return
            self.buffer = content.decode()
        self.wanted.add(token)
        lines = self.buffer.splitlines(keepends=True)
        lines.insert(self.side.world.random.randrange(len(lines) + 1), token + "\n")
        self.buffer = "".join(lines)
        self.busy = True
        if self.stale:
            self.side.world.soon(self._save, 0.2)
        else:
            self._save()

    def _save(self) -> None:
        assert self.buffer is not None
        disk, world = self.side.disk, self.side.world
        content = self.buffer.encode()
        inode = disk.files.get(self.path)
        if not self.in_steps or inode is None:
            disk.put(self.path, content)
            self.busy = False
            return
        disk.write(self.path, inode, b"", open=True)
        half = len(content) // 2

        def finish() -> None:
            disk.write(self.path, inode, content)
            self.busy = False

        def begin() -> None:
            disk.write(self.path, inode, content[:half], open=True)
            world.soon(finish, 0.06)

        world.soon(begin, 0.06)
