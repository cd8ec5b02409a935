"""One running session on this machine: the core, and everything that joins it to the world.

Made from a `Plan`, started once, closed once.  Nothing here decides about the session; it only builds the
parts, tells them of each other in one place, and takes them down in the right order.
"""

import asyncio
import contextlib
import hashlib
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from peer.core.documents import Documents
from peer.core.events import DocumentEdited, Event, LeaveRequested, ServerEntered, ServerLost, Tick
from peer.core.files import Files
from peer.core.greeting import Setup
from peer.core.ids import DocId, peer_id
from peer.core.invitation import link_key, room_private_key
from peer.core.notices import Notice, Trouble
from peer.core.session import Session
from peer.edge.driver import Driver
from peer.edge.folder import Folder
from peer.edge.identity import Identity
from peer.edge.registry import SessionRecord
from peer.edge.seals import Seals
from peer.edge.signaling_client import SignalingClient
from peer.edge.store import Store
from peer.edge.watcher import Watcher
from peer.edge.webrtc import DirectPaths
from peer.errors import ServerUnreachable

__all__ = ["CLIENT_BITS", "LEAVE_SECONDS", "Node", "Plan"]

CLIENT_BITS: Final = 53
"""CRDT client ids: as many bits as Yjs can hold, so that two runs never get the same."""
LEAVE_SECONDS: Final = 2.0
"""For goodbyes to reach the network before everything is closed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a session on this machine is made of.

    Attributes:
        record: the session's secrets and our place in it.
        store: where it is remembered; `None` keeps it in memory only.
        folder: what it is shown as on disk; `None` for documents without a folder.
        server: where the room is; `None` only listens to nobody (a session alone).
        policy: `auto`, `direct` or `relay`.
    """

    identity: Identity
    record: SessionRecord
    store: Store | None
    folder: Path | None
    server: str | None
    policy: str = "auto"


class Node:
    """A session that runs until it is closed."""

    def __init__(self, plan: Plan, tell: Callable[[Notice], None]) -> None:
        self.plan = plan
        self._tell = tell
        self._rng = random.Random(os.urandom(32))
        self.client = self._rng.getrandbits(CLIENT_BITS) or 1
        self.documents = Documents(lambda: self.client)
        self._shadows = [] if plan.store is None else plan.store.shadows()
        self._load()
        self.setup = self._set_up()
        self.files = self._make_files()
        self.session = Session(self.setup, self.documents, time.monotonic(), folder=self.files)
        self._paths = DirectPaths(self._feed)
        self._seals = Seals(plan.identity, self._feed, self._relay)
        self.driver = Driver(self.session, seals=self._seals, paths=self._paths, store=plan.store, tell=tell)
        self.documents.on_change = self._document_changed
        self._folder: Folder | None = None
        self._watcher: Watcher | None = None
        self._signaling: SignalingClient | None = None
        self._tasks: list[asyncio.Task[object]] = []
        self._first_word: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.server_state = "none" if plan.server is None else "connecting"

    # --- building ---------------------------------------------------------------------------------------

    def _load(self) -> None:
        store = self.plan.store
        if store is None:
            return
        for doc in store.documents():
            document = self.documents.open(doc)
            for update in store.updates(doc):
                document.load(update)

    def _set_up(self) -> Setup:
        record = self.plan.record
        return Setup(
            me=peer_id(self.plan.identity.device, os.urandom(8)),
            session=record.session,
            chain=record.chain,
            role=record.role,
            name=record.name,
            client=self.client,
            link_key=link_key(record.secret),
            host=_host_tag(record.secret),
            version=version("weft"),
            policy=self.plan.policy,
            unix_offset=time.time() - time.monotonic(),
        )

    def _make_files(self) -> Files | None:
        if self.plan.folder is None:
            return None
        record = self.plan.record
        files = Files(self.documents, record.name, self._rng, read_only=record.role == "viewer")
        if self.plan.store is not None:
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
            self._folder = Folder(self.plan.folder, self._feed)
            self.driver.disk = self._folder
            self._watcher = Watcher(self._folder)
            await self._watcher.start()
            self._folder.scan(known=[shadow.path for shadow in self._shadows])
        if self.plan.server is not None:
            self._enter(self.plan.server)
        self._feed(Tick())
        if self.plan.server is not None and wait_for_server:
            reason = await asyncio.shield(self._first_word)
            if reason is not None:
                raise ServerUnreachable(reason)

    def _enter(self, server: str) -> None:
        self._signaling = SignalingClient(
            server,
            room_private_key(self.plan.record.secret),
            self._server_event,
            self._seals.receive,
            rng=self._rng,
            on_ice_servers=self._paths.use_ice_servers,
        )
        self._tasks.append(asyncio.create_task(self._stay(self._signaling)))
        if self.plan.policy != "relay":
            self._tasks.append(asyncio.create_task(self._paths.warm()))

    async def _stay(self, signaling: SignalingClient) -> None:
        reason = await signaling.run()
        self.server_state = "refused"
        self._tell(Trouble("E-SERVER", reason))

    def _server_event(self, event: Event) -> None:
        if isinstance(event, ServerEntered):
            self._seals.entered(event.address)
            self.server_state = "connected"
            self._first(None)
        elif isinstance(event, ServerLost):
            self.server_state = "lost"
            self._first(event.reason)
        self._feed(event)

    def _first(self, word: str | None) -> None:
        if not self._first_word.done():
            self._first_word.set_result(word)

    async def close(self) -> None:
        """Say goodbye, stop, and leave nothing open."""
        self._feed(LeaveRequested())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.driver.finished.wait(), LEAVE_SECONDS)
        if self._signaling is not None:
            await self._signaling.aclose()
        await self._paths.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._watcher is not None:
            await self._watcher.close()
        if self._folder is not None:
            await self._folder.close()
        if self.plan.store is not None:
            self.plan.store.close()

    # --- wiring -------------------------------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        self.driver.feed(event)

    def _relay(self, address: bytes, payload: bytes) -> None:
        if self._signaling is not None:
            self._signaling.send_relay(address, payload)

    def _document_changed(self, doc: DocId) -> None:
        if not self.driver.in_turn:  # else it is the core itself, which knows
            self._feed(DocumentEdited(doc))


def _host_tag(secret: bytes) -> bytes:
    """Equal for two processes that share one kernel and one network, meaningless to anybody else."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/net")
    except OSError:
        boot = os.urandom(
            16
        ).hex()  # a system without these: loopback is only used when nothing else is there
    return hashlib.sha256(secret + boot.encode()).digest()[:16]
