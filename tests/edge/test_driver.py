"""The one loop: what is stored before it is sent, faults, time, floods, and applications in mid-change."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.actions import (
    Action,
    AppendUpdate,
    FileAction,
    LoadBlob,
    MoveFile,
    OpenSeal,
    ReadFile,
    RemoveFile,
    ReplaceFile,
    SaveBlob,
    SaveShadow,
    Stop,
    Tell,
)
from peer.core.documents import Documents
from peer.core.edits import Edit
from peer.core.events import BlobLoaded, Event, FileMissing, FileTrouble, PresenceSet, Tick
from peer.core.ids import DeviceKey, DocId, peer_id
from peer.core.notices import Notice, Trouble, Warned
from peer.edge import driver as driver_module
from peer.edge import journal as journal_module
from peer.edge.driver import EVENTS_PER_TURN, Driver
from peer.edge.identity import make_identity
from peer.edge.journal import Journal
from peer.edge.seals import Seals
from peer.edge.store import Store
from peer.edge.webrtc import DirectPaths

DOC = DocId(b"document")
ADDRESS = b"\x02" * 8
PEER = peer_id(DeviceKey(b"d" * 32), b"i" * 8)
EDIT = FileMissing("an event")
FAR = 3600.0


class Script:
    """A core that does what the test says (`driver.Core`)."""

    def __init__(self) -> None:
        self.documents = Documents(lambda: 7)
        self.turns: list[list[Event]] = []
        self.deadline = time.monotonic() + FAR
        self.answer: Callable[[list[Event]], list[Action]] = lambda _: []

    def handle_all(self, events: Iterable[Event], now: float) -> list[Action]:
        batch = list(events)
        self.turns.append(batch)
        return self.answer(batch)

    def next_deadline(self) -> float:
        return self.deadline

    def events(self) -> list[Event]:
        return [event for turn in self.turns for event in turn]


class Disk:
    """Notes the orders (`driver.Disk`)."""

    def __init__(self) -> None:
        self.orders: list[FileAction] = []

    def submit(self, action: FileAction) -> None:
        self.orders.append(action)


class World:
    """A driver with real parts around a scripted core; what would be relayed is noted."""

    def __init__(self, store: Store | None) -> None:
        self.core = Script()
        self.store = store
        self.notices: list[Notice] = []
        self.relayed: list[int] = []
        self.held = False
        self.ends = 0
        identity = make_identity(Ed25519PrivateKey.generate())
        self.paths = DirectPaths(self.feed)
        journal = None
        if store is not None:
            journal = Journal(store, self.core.documents, self.notices.append, time.monotonic())
        self.journal = journal
        self.driver = Driver(
            self.core,
            seals=Seals(identity, self.feed, self._relay),
            paths=self.paths,
            journal=journal,
            tell=self.notices.append,
            is_held=lambda: self.held,
            ended=self._ended,
        )
        self.disk = Disk()
        self.driver.disk = self.disk

    def feed(self, event: Event) -> None:
        self.driver.feed(event)

    def _relay(self, address: bytes, payload: bytes) -> None:
        self.relayed.append(len(self.logged()))

    def _ended(self) -> None:
        self.ends += 1

    def logged(self) -> list[bytes]:
        """What another connection, and so a restart, would find in the log."""
        return self.store.updates(DOC) if self.store is not None else []

    def fill_disk(self) -> None:
        assert self.store is not None
        (pages,) = self.store._db.execute("PRAGMA page_count").fetchone()
        self.store._db.execute(f"PRAGMA max_page_count = {pages}")

    def free_disk(self) -> None:
        assert self.store is not None
        self.store._db.execute("PRAGMA max_page_count = 1000000")

    def do(self, *actions: Action) -> None:
        """Have the core order this at its next turn."""

        def answer(_: list[Event]) -> list[Action]:
            self.core.answer = lambda _: []
            return [*actions]

        self.core.answer = answer
        self.feed(EDIT)


async def until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.002)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store.open(tmp_path / "x" / "session.db")
    made = World(store)
    yield made
    made.driver.stop()
    await made.paths.aclose()
    made.free_disk()
    store.close()


def update(text: str, size: int = 0) -> AppendUpdate:
    return AppendUpdate(DOC, text.encode() + b"." * size, b"a" * 32)


# --- storing --------------------------------------------------------------------------------------------


async def test_what_is_ordered_in_one_batch_is_stored_before_anything_of_it_is_sent(world: World) -> None:
    world.do(OpenSeal(ADDRESS, initiator=True), update("one"), update("two"))
    await until(lambda: world.relayed != [])
    assert world.relayed[0] == 2
    assert world.store is not None
    assert not world.store._db.in_transaction


async def test_a_disk_that_refuses_is_told_of_once_and_everything_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_EVERY", 0.0)
    world.fill_disk()
    for number in range(5):
        world.do(update(f"edit {number}", 100_000), OpenSeal(ADDRESS, initiator=True))
        await until(lambda count=number: len(world.relayed) > count)  # type: ignore[misc]
    troubles = [notice for notice in world.notices if isinstance(notice, Trouble)]
    assert [trouble.code for trouble in troubles] == ["E-STORAGE"]
    assert not world.driver.finished.is_set()
    assert world.logged() == []


async def test_all_is_stored_once_there_is_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_EVERY", 0.0)
    world.fill_disk()
    world.do(update("one", 100_000))
    await until(lambda: world.notices != [])
    world.free_disk()
    world.do(update("two"))
    await until(lambda: len(world.logged()) == 2)
    assert [type(notice) for notice in world.notices] == [Trouble, Warned]


async def test_while_the_disk_refuses_it_is_not_asked_with_every_batch(world: World) -> None:
    world.fill_disk()
    world.do(update("one", 100_000))
    await until(lambda: world.notices != [])
    world.free_disk()
    world.do(update("two"))
    await world.driver.caught_up()
    assert world.logged() == []


async def test_a_text_whose_log_has_a_gap_is_stored_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_EVERY", 0.0)
    monkeypatch.setattr("peer.edge.store.PENDING_BYTES", 150_000)
    document = world.core.documents.open(DOC)
    world.fill_disk()
    for number in range(4):
        document.edit([Edit(0, 0, f"{number}" * 60_000)])
        for made in document.take_local():
            world.do(
                AppendUpdate(DOC, made, b"a" * 32), SaveShadow(DOC, f"{number}", b"s" * 100_000, False, False)
            )
        await world.driver.caught_up()
    world.free_disk()
    world.do()
    await until(lambda: isinstance(world.notices[-1], Warned))
    restored = Documents(lambda: 8).open(DOC)
    for stored in world.logged():
        restored.load(stored)
    assert restored.text == document.text
    assert world.store is not None
    assert world.store.shadows()[-1].path == "3"


async def test_nothing_is_put_into_the_folder_while_it_cannot_be_noted(world: World) -> None:
    world.fill_disk()
    write = ReplaceFile("a.md", None, b"new", 0o644)
    move, remove = MoveFile("b.md", "c.md", b"x"), RemoveFile("d.md", b"x")
    world.do(update("one", 100_000), write, move, remove, ReadFile("e.md"))
    await until(lambda: len(world.core.events()) == 4)
    assert world.disk.orders == [ReadFile("e.md")]
    refused = [event.path for event in world.core.events() if isinstance(event, FileTrouble)]
    assert refused == ["a.md", "b.md", "d.md"]


async def test_files_are_written_when_the_disk_is_well(world: World) -> None:
    write = ReplaceFile("a.md", None, b"new", 0o644)
    world.do(write)
    await until(lambda: world.disk.orders == [write])


async def test_a_long_log_becomes_a_snapshot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.journal is not None
    world.journal._compact_at = 0.0
    document = world.core.documents.open(DOC)
    for number in range(40):
        document.edit([Edit(0, document.length, f"{number}" * 10_000)])
    world.do(*(AppendUpdate(DOC, made, b"a" * 32) for made in document.take_local()))
    await world.driver.caught_up()
    world.do()
    await until(lambda: len(world.logged()) == 1)
    restored = Documents(lambda: 8).open(DOC)
    restored.load(world.logged()[0])
    assert restored.text == document.text


async def test_a_part_of_a_blob_is_read_for_a_peer(world: World) -> None:
    digest = b"h" * 32
    world.do(SaveBlob(digest, b"0123456789"), LoadBlob(PEER, digest, 2, 5), LoadBlob(PEER, b"?" * 32, 0, 5))
    await until(lambda: len(world.core.events()) == 3)
    assert world.core.events()[1:] == [
        BlobLoaded(PEER, digest, 2, 10, b"23456"),
        BlobLoaded(PEER, b"?" * 32, 0, 0, None),
    ]


async def test_a_session_in_memory_has_no_blobs() -> None:
    world = World(None)
    world.do(LoadBlob(PEER, b"h" * 32, 0, 5), update("nowhere to go"))
    await until(lambda: len(world.core.events()) == 2)
    assert world.core.events()[1] == BlobLoaded(PEER, b"h" * 32, 0, 0, None)
    world.driver.stop()


# --- faults and the end -----------------------------------------------------------------------------------


class PanicException(BaseException):
    """What the CRDT engine raises when it panics is no `Exception` either."""


@pytest.mark.parametrize("fault", [ValueError("a bug"), PanicException("a panic")])
async def test_a_fault_in_the_core_ends_the_session_and_is_logged(
    world: World, fault: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: list[Event]) -> list[Action]:
        raise fault

    world.core.answer = fail
    world.feed(EDIT)
    await asyncio.wait_for(world.driver.finished.wait(), 5)
    assert world.driver.failure is fault
    assert world.ends == 1
    assert not world.driver.in_turn
    assert "because of a fault" in caplog.text
    world.feed(EDIT)
    world.driver.fail(ValueError("another"))
    await asyncio.sleep(0)
    assert len(world.core.turns) == 1
    assert world.driver.failure is fault


async def test_what_comes_after_the_end_is_dropped(world: World) -> None:
    world.do(Stop())
    await asyncio.wait_for(world.driver.finished.wait(), 5)
    world.feed(EDIT)
    world.driver.stop()
    await world.driver.caught_up()
    assert len(world.core.turns) == 1
    assert world.driver.failure is None
    assert world.ends == 1


async def test_a_turn_that_was_asked_for_before_the_end_does_not_happen(world: World) -> None:
    world.feed(EDIT)
    waiting = asyncio.ensure_future(world.driver.caught_up())
    await asyncio.sleep(0)
    world.feed(EDIT)
    world.driver.stop()
    await waiting
    await asyncio.sleep(0)
    assert len(world.core.turns) <= 1


async def test_an_inbox_that_nobody_empties_is_a_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "INBOX_LIMIT", 100)
    for _ in range(101):
        world.feed(EDIT)
    assert isinstance(world.driver.failure, OverflowError)
    assert world.ends == 1


# --- time ---------------------------------------------------------------------------------------------------


async def test_the_core_is_woken_when_it_wants_to_be_and_again_for_the_next_deadline(world: World) -> None:
    started = time.monotonic()
    moments: list[float] = []

    def tick(events: list[Event]) -> list[Action]:
        moments.append(time.monotonic() - started)
        world.core.deadline = started + (len(moments) * 0.05 if len(moments) < 4 else FAR)
        return []

    world.core.answer = tick
    world.feed(EDIT)
    await until(lambda: len(moments) == 4)
    assert world.core.events()[1:] == [Tick()] * 3
    for number in range(1, 4):
        assert moments[number] >= number * 0.05 - 0.001


async def test_a_deadline_that_moves_away_wakes_nobody(world: World) -> None:
    ticks: list[float] = []

    def note(events: list[Event]) -> list[Action]:
        if Tick() in events:
            ticks.append(time.monotonic())
            world.core.deadline = FAR
        return []

    world.core.answer = note
    world.core.deadline = time.monotonic() + 0.03
    world.feed(EDIT)
    await world.driver.caught_up()
    moved = len(ticks)  # a machine that stands still for so long has had the first one, too
    later = world.core.deadline = time.monotonic() + 0.1
    world.feed(EDIT)
    await until(lambda: len(ticks) > moved)
    assert ticks[moved] >= later - 0.001


async def test_a_deadline_that_comes_nearer_counts(world: World) -> None:
    world.core.deadline = time.monotonic() + FAR
    world.feed(EDIT)
    await world.driver.caught_up()
    world.core.deadline = time.monotonic() + 0.01
    world.feed(EDIT)
    await until(lambda: Tick() in world.core.events())


async def test_a_deadline_that_never_passes_does_not_spin(world: World) -> None:
    world.core.deadline = 0.0
    world.feed(EDIT)
    began = time.monotonic()
    while time.monotonic() < began + 0.1:
        await asyncio.sleep(0.01)
    assert 1 < len(world.core.turns) < 150


# --- many events ------------------------------------------------------------------------------------------


async def test_events_that_come_together_are_one_turn(world: World) -> None:
    for _ in range(10):
        world.feed(EDIT)
    await world.driver.caught_up()
    assert [len(turn) for turn in world.core.turns] == [10]


async def test_a_flood_of_events_does_not_keep_the_loop_from_others(world: World) -> None:
    for _ in range(20 * EVENTS_PER_TURN):
        world.feed(EDIT)
    turns_seen = []
    while len(world.core.events()) < 20 * EVENTS_PER_TURN:
        await asyncio.sleep(0)
        turns_seen.append(len(world.core.turns))
    assert max(map(len, world.core.turns)) == EVENTS_PER_TURN
    # somebody else ran between any two turns
    assert len(set(turns_seen)) >= 20
    await world.driver.caught_up()
    assert world.core.events() == [EDIT] * (20 * EVENTS_PER_TURN)


async def test_the_order_of_events_is_kept(world: World) -> None:
    events = [PresenceSet(path=str(number)) for number in range(3 * EVENTS_PER_TURN)]
    for event in events:
        world.feed(event)
    await world.driver.caught_up()
    assert world.core.events() == events


async def test_every_event_and_action_is_logged_by_name_and_nothing_of_its_content(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "weft.driver"):
        world.do(update("attack at dawn"), Tell(Warned("W", "psst")))
        await world.driver.caught_up()
    assert "FileMissing" in caplog.text
    assert "AppendUpdate, Tell" in caplog.text
    assert "attack" not in caplog.text
    assert "psst" not in caplog.text


# --- applications in the middle of a change ---------------------------------------------------------------


async def test_no_turn_begins_while_an_application_is_in_mid_change(world: World) -> None:
    world.held = True
    world.feed(EDIT)
    world.feed(EDIT)
    for _ in range(5):
        await asyncio.sleep(driver_module.HOLD_SECONDS)
    assert world.core.turns == []
    world.held = False
    await until(lambda: world.core.turns == [[EDIT, EDIT]])
    assert world.notices == []
    world.feed(EDIT)
    await world.driver.caught_up()
    assert len(world.core.turns) == 2


async def test_a_transaction_that_was_forgotten_is_told_of_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "HOLD_TOLD_SECONDS", 0.02)
    world.held = True
    world.feed(EDIT)
    await until(lambda: world.notices != [])
    for _ in range(10):
        await asyncio.sleep(driver_module.HOLD_SECONDS)
    assert [notice.code for notice in world.notices if isinstance(notice, Trouble)] == ["E-TRANSACTION"]
    world.held = False
    await until(lambda: len(world.core.turns) == 1)
