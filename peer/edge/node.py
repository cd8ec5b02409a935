"""One running session on this machine: the core, and everything that joins it to the world.

Made from a `Plan`, started once, closed once.  Nothing here decides about the session; it builds the parts,
tells them of each other, and takes them down in the right order.  A server that refuses us for good
(`Trouble` with code `E-SERVER`, `server_state` is `refused`) does not end the session: whoever is connected
directly stays, and everything is brought together the next time that the session is started.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from peer.core.actions import AppendUpdate, SaveShadow
from peer.core.bare import Bare
from peer.core.candidates import Endpoint
from peer.core.documents import Documents
from peer.core.events import (
    DirectPieceArrived,
    DocumentEdited,
    Event,
    FileEvent,
    LeaveRequested,
    NetworkChanged,
    ScanFinished,
    ServerEntered,
    ServerLost,
    Tick,
)
from peer.core.files import Files
from peer.core.greeting import Setup
from peer.core.ids import INDEX, DocId, peer_id, room_of
from peer.core.invitation import link_key, room_private_key
from peer.core.notices import Notice, SyncDone, Trouble
from peer.core.session import Session, SharedFolder
from peer.edge.driver import Driver
from peer.edge.folder import Folder
from peer.edge.host_tag import host_tag
from peer.edge.ice_servers import IceServerLike
from peer.edge.identity import Identity
from peer.edge.journal import Journal
from peer.edge.lan.entrance import Entrance, first_word
from peer.edge.network_watch import NetworkWatch
from peer.edge.registry import SessionRecord
from peer.edge.scan import holds_anything
from peer.edge.seals import Seals
from peer.edge.signaling_client import Candidates, SignalingClient
from peer.edge.store import Store
from peer.edge.texts import Texts
from peer.edge.used_blobs import blobs_in_use
from peer.edge.watcher import Watcher
from peer.edge.webrtc import DirectPaths
from peer.errors import ServerUnreachable, StorageError

__all__ = ["EMPTY_SECONDS", "LEAVE_SECONDS", "SCAN_SECONDS", "Node", "Plan"]

LEAVE_SECONDS: Final = 2.0
"""For the core to say goodbye; longer only if an application keeps a transaction open."""
SCAN_SECONDS: Final = 0.3
"""For the files of a folder to be known when the session begins."""
EMPTY_SECONDS: Final = 5.0
"""For somebody with files to come, before a newcomer believes that the session has none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session on this machine is made of.

    Attributes:
        record: the session's secrets and our place in it.
        store: where it is remembered; `None` keeps it in memory only.
        folder: what it is shown as on disk; `None` for documents without a folder.
        servers: where the room is, best first; none where there is none on the internet.
        policy: one of `policy.POLICIES`.
        lan: whether to look for others, and be found, on local networks.
        at: where on the network members are, as a person says.
        ice_servers: the person's own STUN and TURN servers, which come before those of the server.
        newcomer: the session has files that we have never seen; what the folder holds is compared with
            them, and looked at only when they are here, or each would be there twice.
    """

    identity: Identity
    record: SessionRecord
    store: Store | None
    folder: Path | None
    servers: tuple[str, ...]
    policy: str = "auto"
    newcomer: bool = False
    lan: bool = False
    at: tuple[Endpoint, ...] = ()
    ice_servers: tuple[IceServerLike, ...] = ()


class Node:
    """A session that runs until it is closed."""

    def __init__(self, plan: Plan, tell: Callable[[Notice], None], ended: Callable[[], None]) -> None:
        """Take over *plan* with its store; *ended* is called once, when the session is over.

        Raises:
            StorageError: the store cannot be read; it is closed then.
        """
        self.plan = plan
        self._hear = tell
        self._ended = ended
        self._exits = contextlib.AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None
        self._first_word: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._scanned = asyncio.Event()
        self._folder: Folder | None = None
        self._has_begun_scan = False
        self._signaling: SignalingClient | None = None
        self.lan: Entrance | None = None
        self.server_state = "connecting" if plan.servers else "none"
        try:
            self._build()
        except BaseException:
            if plan.store is not None:
                plan.store.close()
            raise

    # --- building ---------------------------------------------------------------------------------------

    def _build(self) -> None:
        plan, now = self.plan, time.monotonic()
        self._rng = random.Random(os.urandom(32))
        setup = self._set_up()
        self.client = setup.client
        self.documents = Documents(lambda: self.client)
        self._shadows: list[SaveShadow] = []
        if plan.store is not None:
            self._load(plan.store)
        self.texts = Texts(self.documents, self._text_edited, read_only=plan.record.role == "viewer")
        self.session = Session(setup, self.documents, now, folder=self._make_folder())
        self._paths = DirectPaths(self._path_event, plan.ice_servers)
        self._seals = Seals(plan.identity, self._feed, self._relay)
        self.journal = None if plan.store is None else Journal(plan.store, self.documents, self._tell, now)
        self.driver = Driver(
            self.session,
            seals=self._seals,
            paths=self._paths,
            journal=self.journal,
            tell=self._tell,
            is_held=self.texts.is_held,
            check_server=self._check_server,
            ended=self._over,
        )
        self.documents.on_change = self._document_changed

    def _load(self, store: Store) -> None:
        self._shadows = store.shadows()
        intact = True
        for doc in store.documents():
            document = self.documents.open(doc)
            for update in store.updates(doc):
                try:
                    document.load(update)
                except StorageError as error:
                    intact = intact and doc != INDEX
                    self._tell(Trouble("E-STORAGE", f"{error} What is missing comes from the others."))
        if intact:
            store.keep_blobs(blobs_in_use(self._shadows, self.documents))

    def _set_up(self) -> Setup:
        record = self.plan.record
        return Setup(
            me=peer_id(self.plan.identity.device, os.urandom(8)),
            session=record.session,
            chain=record.chain,
            role=record.role,
            name=record.name,
            link_key=link_key(record.secret),
            host=host_tag(record.secret),
            version=version("weft"),
            policy=self.plan.policy,
            unix_offset=time.time() - time.monotonic(),
            jitter=lambda longest: self._rng.uniform(0, longest),
        )

    def _make_folder(self) -> SharedFolder:
        record = self.plan.record
        if self.plan.folder is None:
            return Bare(self.documents)
        files = Files(self.documents, record.name, self._rng, read_only=record.role == "viewer")
        files.start(self._shadows)
        return files

    # --- life ---------------------------------------------------------------------------------------------

    async def start(self, *, wait_for_server: bool) -> None:
        """Open the folder, enter the room.

        Raises:
            ServerUnreachable: *wait_for_server*, and the first try to enter the room failed.
            StorageError: the folder cannot be opened.
        """
        if self.plan.folder is not None:
            await self._open_folder(self.plan.folder)
        await self._connect()
        self._feed(Tick())
        await self._wait_for_scan()
        if self.plan.servers and wait_for_server:
            reason = await first_word(self._first_word, self.lan)
            if self.driver.failure is not None:
                raise self.driver.failure
            if reason is not None:
                raise ServerUnreachable(reason)

    async def _connect(self) -> None:
        """Look for others; undone in reverse: goodbyes leave through rooms, then through direct paths."""
        self._exits.push_async_callback(self._paths.aclose)
        if self.plan.servers or self.plan.lan:
            await self._exits.enter_async_context(NetworkWatch(self._network_changed))
        if self.plan.lan or self.plan.at:
            self.lan = Entrance(
                self.plan, emit=self._room_event, on_relay=self._seals.receive, warn=self._tell, rng=self._rng
            )
            self._exits.push_async_callback(self.lan.aclose)
            self._go(self.lan.run())
        if self.plan.servers:
            self._enter(self.plan.servers)
        if self.plan.policy != "relay" and (self.lan or self._signaling):
            self._go(self._paths.warm())

    async def _open_folder(self, place: Path) -> None:
        self._folder = folder = Folder(place, self._file_event)
        self._exits.push_async_callback(folder.close)
        self.driver.disk = folder
        watcher = Watcher(folder)
        self._exits.push_async_callback(watcher.close)
        await watcher.start()
        if not (self.plan.newcomer and await asyncio.to_thread(holds_anything, place)):
            self._scan()

    def _scan(self) -> None:
        if self._folder is not None and not self._has_begun_scan:
            self._has_begun_scan = True
            self._folder.scan(known={shadow.path for shadow in self._shadows})

    async def _wait_for_scan(self) -> None:
        """Let a small folder be known when the session begins; a large one is told of as it is read."""
        if not self._has_begun_scan:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SCAN_SECONDS):
                await self._scanned.wait()
                await self.driver.caught_up()

    def _enter(self, servers: Candidates | tuple[str, ...]) -> None:
        self._signaling = SignalingClient(
            servers,
            room_private_key(self.plan.record.secret),
            self._server_event,
            self._seals.receive,
            rng=self._rng,
            on_ice_servers=self._use_ice_servers,
        )
        self._paths.before_attempt = self._signaling.check_ice_servers
        self._go(self._stay(self._signaling))
        self._exits.push_async_callback(self._signaling.aclose)

    def _go(self, work: Coroutine[object, object, None]) -> None:
        self._exits.push_async_callback(_end, asyncio.create_task(work))

    async def _stay(self, signaling: SignalingClient) -> None:
        try:
            reason = await signaling.run()
        except Exception as error:
            self.driver.fail(error)
            return
        self.server_state = "refused"
        advice = "Whoever is connected directly stays; nobody else finds you until Weft is started again."
        self._tell(Trouble("E-SERVER", f"{reason}. {advice}"))

    @property
    def server(self) -> str | None:
        """The server whose room we are in, else the one that we would like best."""
        inside = None if self._signaling is None else self._signaling.server
        return inside or next(iter(self.plan.servers), None)

    def _server_event(self, event: Event) -> None:
        if isinstance(event, ServerEntered):
            self.server_state = "connected"
            self._first(None)
        elif isinstance(event, ServerLost):
            self.server_state = "lost"
            self._first(event.reason)
        self._room_event(event)

    def _room_event(self, event: Event) -> None:
        if isinstance(event, ServerEntered):
            self._seals.entered(event.address)
        self._feed(event)

    def _first(self, word: str | None) -> None:
        if not self._first_word.done():
            self._first_word.set_result(word)

    async def close(self) -> None:
        """Say goodbye, stop, and leave nothing open; closing twice is closing once.

        Raises:
            StorageError: what the disk had refused could not be stored in the end.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        async with contextlib.AsyncExitStack() as last:
            if self.plan.store is not None:
                last.callback(self.plan.store.close)
            last.callback(self._keep_rest)
            last.push_async_callback(self._exits.aclose)
            self._feed(LeaveRequested())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.driver.finished.wait(), LEAVE_SECONDS)
            self.driver.stop()

    def _keep_rest(self) -> None:
        """Store what the disk had refused, and what was typed and never reached the core."""
        if self.journal is not None:
            author = bytes(self.plan.identity.device)
            changed = [document for document in self.documents if document.id in self.documents.changed]
            rest = [AppendUpdate(d.id, update, author) for d in changed for update in d.take_local()]
            self.journal.keep(rest, float("inf"))

    def _over(self) -> None:
        if not self._first_word.done():
            self._first_word.set_result("the session ended before the server was reached")
        self._ended()

    # --- wiring -------------------------------------------------------------------------------------------

    def _path_event(self, event: Event) -> None:
        if isinstance(event, DirectPieceArrived):
            self.driver.hear(event)
        else:
            self.driver.feed(event)

    def _network_changed(self, event: NetworkChanged) -> None:
        self._feed(event)
        self._check_server()
        if self.lan is not None:
            self.lan.look_again()

    def _check_server(self) -> None:
        if self._signaling is not None:  # at the start there is none yet
            self._signaling.retry_now()

    def _feed(self, event: Event) -> None:
        self.driver.feed(event)

    def _file_event(self, event: FileEvent) -> None:
        self.driver.feed(event)
        if isinstance(event, ScanFinished):
            self._scanned.set()

    def _tell(self, notice: Notice) -> None:
        if isinstance(notice, SyncDone):
            self._peer_told_all()
        self._hear(notice)

    def _use_ice_servers(self, lent: Sequence[IceServerLike]) -> None:
        self._paths.use_ice_servers([*self.plan.ice_servers, *lent])

    def _peer_told_all(self) -> None:
        """A peer has told what it knows: with that, a newcomer can look at what its folder holds."""
        if not self._has_begun_scan and self.documents.open(INDEX).is_empty():
            # a session without files, or somebody who is as new as we are
            later = asyncio.get_running_loop().call_later(EMPTY_SECONDS, self._scan)
            self._exits.callback(later.cancel)
        else:
            self._scan()

    def _relay(self, address: bytes, payload: bytes) -> None:
        if room_of(address):
            if self.lan is not None:
                self.lan.send_relay(address, payload)
        elif self._signaling is not None:
            self._signaling.send_relay(address, payload)

    def _document_changed(self, doc: DocId) -> None:
        if not self.driver.in_turn:  # else it is mostly the core itself, which knows
            self._feed(DocumentEdited(doc))

    def _text_edited(self, doc: DocId) -> None:
        if self.driver.in_turn:  # by an application that was called in the middle of a turn
            self._feed(DocumentEdited(doc))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
