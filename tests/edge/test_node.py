"""One running session: its parts are built, started and taken down together."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from peer.api import IceServer, IceServerLike
from peer.core.actions import DialDirect
from peer.core.contents import digest_of
from peer.core.edits import Edit
from peer.core.ids import INDEX, Attempt, DocId
from peer.core.layout import Blob
from peer.core.notices import Notice, ServerState, SyncDone, Trouble
from peer.edge import node as node_module
from peer.edge.entry import Entry, enter_again, enter_by_link, enter_new
from peer.edge.node import Node
from peer.edge.signaling_client import SignalingClient
from peer.edge.store import Store
from peer.errors import StorageError
from signaling.server import RoomServer
from signaling.settings import Settings

ONE, TWO = b"\x00one", b"\x00two, and more"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.mkdir()
    (path / "a.md").write_text("one\n")
    return path


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with RoomServer(Settings(port=0)) as running:
        yield f"http://127.0.0.1:{running.port}"


class Running:
    """A node with what it told."""

    def __init__(self, entry: Entry) -> None:
        self.notices: list[Notice] = []
        self.ends = 0
        self.node = Node(entry.plan, self.notices.append, self._ended)

    def _ended(self) -> None:
        self.ends += 1

    async def start(self) -> "Running":
        await self.node.start(wait_for_server=False)
        return self

    def text(self, path: str) -> str:
        return str(self.node.texts.open(path))

    def troubles(self) -> list[str]:
        return [notice.message for notice in self.notices if isinstance(notice, Trouble)]


async def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.003)


def new(folder: Path, server: str = NOWHERE) -> Entry:
    return enter_new(folder, server=server, name="anna", policy="auto")


def again(folder: Path) -> Entry:
    return enter_again(folder, server=None, name=None, policy="auto")


async def test_the_files_of_a_folder_are_known_when_it_has_started(folder: Path) -> None:
    running = await Running(new(folder)).start()
    assert running.node.texts.names() == ["a.md"]
    assert running.text("a.md") == "one\n"
    await running.node.close()
    assert running.ends == 1


async def test_what_was_edited_while_it_was_stopped_is_taken_in(folder: Path) -> None:
    await (await Running(new(folder)).start()).node.close()
    (folder / "a.md").write_text("one\ntwo\n")
    (folder / "b.md").write_text("new\n")
    running = await Running(again(folder)).start()
    assert running.node.texts.names() == ["a.md", "b.md"]
    assert running.text("a.md") == "one\ntwo\n"
    await running.node.close()


async def test_what_was_deleted_while_it_was_stopped_is_deleted(folder: Path) -> None:
    (folder / "b.md").write_text("stays\n")
    await (await Running(new(folder)).start()).node.close()
    (folder / "a.md").unlink()
    running = await Running(again(folder)).start()
    await until(lambda: running.node.texts.names() == ["b.md"])
    await running.node.close()


async def test_every_run_writes_under_a_name_of_its_own(folder: Path) -> None:
    first = await Running(new(folder)).start()
    await first.node.close()
    second = await Running(again(folder)).start()
    assert first.node.client != second.node.client
    assert 0 < second.node.client < 2**53
    second.node.texts.open("a.md").append("two\n")
    await until(lambda: (folder / "a.md").read_text() == "one\ntwo\n")
    await second.node.close()


async def test_a_damaged_update_costs_only_itself(folder: Path) -> None:
    entry = new(folder)
    running = await Running(entry).start()
    await running.node.close()
    resumed = again(folder)
    assert resumed.plan.store is not None
    resumed.plan.store.append(DocId(b"damaged!"), b"\xff" * 20, b"a" * 32, 1.0)
    resumed.plan.store.commit()
    later = await Running(resumed).start()
    assert len(later.troubles()) == 1
    assert later.text("a.md") == "one\n"
    await later.node.close()


def stored(entry: Entry, *contents: bytes) -> list[bool]:
    """Which of these contents are kept as blobs."""
    assert entry.plan.store is not None
    entry.plan.store.commit()
    return [entry.plan.store.has_blob(digest_of(content)) for content in contents]


async def test_what_a_binary_file_held_long_ago_is_dropped_at_the_next_start(folder: Path) -> None:
    (folder / "a.png").write_bytes(ONE)
    running = await Running(new(folder)).start()
    names = running.node.documents.open(INDEX).index.entries
    (folder / "a.png").write_bytes(TWO)
    await until(lambda: any(digest_of(TWO).hex() in str(value) for value in names().values()))
    await running.node.close()
    entry = again(folder)
    assert stored(entry, ONE, TWO) == [True, True], "while it ran, nothing was dropped"
    resumed = await Running(entry).start()
    assert stored(entry, ONE, TWO) == [True, True], "the one before may still be an editor's"
    await resumed.node.close()
    (folder / "a.png").unlink()
    resumed = await Running(again(folder)).start()
    names = resumed.node.documents.open(INDEX).index.entries
    await until(lambda: any(key.endswith("/gone") for key in names()))
    await resumed.node.close()
    entry = again(folder)
    resumed = await Running(entry).start()
    assert stored(entry, ONE, TWO) == [False, True], "who deleted the file may not have known all"
    await resumed.node.close()


async def test_nothing_is_dropped_when_the_list_of_files_is_damaged(folder: Path) -> None:
    (folder / "a.png").write_bytes(ONE)
    await (await Running(new(folder)).start()).node.close()
    entry = again(folder)
    assert entry.plan.store is not None
    entry.plan.store.save_blob(digest_of(TWO), TWO)
    entry.plan.store.append(INDEX, b"\xff" * 20, b"a" * 32, 1.0)
    resumed = await Running(entry).start()
    assert stored(entry, ONE, TWO) == [True, True]
    await resumed.node.close()


async def test_what_a_file_held_before_comes_from_our_own_store(folder: Path) -> None:
    (folder / "a.png").write_bytes(ONE)
    running = await Running(new(folder)).start()
    index = running.node.documents.open(INDEX).index
    key = next(key for key, value in index.entries().items() if digest_of(ONE).hex() in str(value))
    (folder / "a.png").write_bytes(TWO)
    await until(lambda: digest_of(TWO).hex() in str(index.entries()[key]))
    index.set(key, str(Blob(digest_of(ONE), len(ONE)).after(Blob(digest_of(TWO), len(TWO)))))
    await until(lambda: (folder / "a.png").read_bytes() == ONE)
    await running.node.close()


async def test_a_store_that_cannot_be_read_is_closed_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Store) -> list[DocId]:
        raise StorageError("cannot be read")

    await (await Running(new(folder)).start()).node.close()
    entry = again(folder)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "documents", fail)
        with pytest.raises(StorageError):
            Running(entry)
    await (await Running(again(folder)).start()).node.close()


async def test_a_start_that_fails_can_be_closed_and_begun_again(folder: Path, tmp_path: Path) -> None:
    entry = new(folder)
    (tmp_path / "notes").rename(tmp_path / "away")
    running = Running(entry)
    with pytest.raises(StorageError):
        await running.start()
    await running.node.close()
    (tmp_path / "away").rename(folder)
    await (await Running(again(folder)).start()).node.close()


async def test_what_was_typed_and_not_yet_decided_on_is_stored_when_it_ends(folder: Path) -> None:
    running = await Running(new(folder)).start()
    running.node.texts.open("a.md").append("typed in the last moment\n")
    running.node.driver.fail(ValueError("a bug"))
    await running.node.close()
    resumed = await Running(again(folder)).start()
    assert resumed.text("a.md") == "one\ntyped in the last moment\n"
    await until(lambda: (folder / "a.md").read_text() == "one\ntyped in the last moment\n")
    await resumed.node.close()


async def test_closing_twice_at_once_is_closing_once(folder: Path) -> None:
    running = await Running(new(folder)).start()
    await asyncio.gather(running.node.close(), running.node.close())
    await running.node.close()
    assert running.ends == 1


async def test_a_disk_that_stays_full_is_told_of_at_the_end_and_everything_is_closed(folder: Path) -> None:
    entry = new(folder)
    store = entry.plan.store
    assert store is not None
    running = await Running(entry).start()
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")
    running.node.texts.open("a.md").append("x" * 500_000)
    await until(lambda: running.troubles() != [])
    with pytest.raises(StorageError):
        await running.node.close()
    await (await Running(again(folder)).start()).node.close()


async def test_a_fault_of_the_connection_ends_the_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> str:
        raise ValueError("a bug")

    monkeypatch.setattr(SignalingClient, "run", fail)
    running = Running(new(folder))
    with pytest.raises(ValueError, match="a bug"):
        await running.node.start(wait_for_server=True)
    assert running.ends == 1
    await running.node.close()


async def test_the_state_of_the_server_is_known(folder: Path, server: str) -> None:
    running = await Running(new(folder, server)).start()
    await until(lambda: running.node.server_state == "connected")
    assert [notice.state for notice in running.notices if isinstance(notice, ServerState)] == ["connected"]
    await running.node.close()
    lost = Running(again(folder))
    assert lost.node.server_state == "connecting"
    await lost.node.close()


def told_of(running: Running) -> list[list[tuple[str, ...]]]:
    """The URLs of each list of STUN and TURN servers that the direct paths of *running* are given."""
    paths = running.node._paths
    given: list[list[tuple[str, ...]]] = []
    use = paths.use_ice_servers

    def noted(servers: Sequence[IceServerLike]) -> None:
        given.append([tuple(server.urls) for server in servers])
        use(servers)

    setattr(paths, "use_ice_servers", noted)  # noqa: B010
    return given


async def test_a_persons_own_ice_servers_come_before_those_of_the_server(folder: Path) -> None:
    own = IceServer(("stun:own",))
    async with RoomServer(Settings(port=0, stun=("stun:lent",))) as running:
        entry = enter_new(folder, server=running.url, name="anna", policy="auto")
        session = Running(replace(entry, plan=replace(entry.plan, ice_servers=(own,))))
        given = told_of(session)
        await session.start()
        await until(lambda: given == [[("stun:own",), ("stun:lent",)]])
        await session.node.close()


async def test_what_expired_is_taken_back_before_an_attempt(folder: Path) -> None:
    settings = Settings(port=0, turn=("turn:t",), turn_secret="north-wind-and-the-sun", turn_seconds=1.0)
    async with RoomServer(settings) as running:
        session = Running(enter_new(folder, server=running.url, name="anna", policy="auto"))
        given = told_of(session)
        await session.start()
        await until(lambda: len(given) == 1)
        await running.drain()
        await asyncio.sleep(settings.turn_seconds)
        lists = len(given)
        assert given[-1]
        session.node._paths.dial(DialDirect(Attempt(1), True))
        assert given[lists:] == [[]]
        await session.node.close()


async def test_a_session_without_a_server_is_alone(folder: Path) -> None:
    entry = new(folder)
    plan = node_module.Plan(
        entry.plan.identity, entry.plan.record, entry.plan.store, entry.plan.folder, servers=()
    )
    running = Running(Entry(plan, "", resumed=False))
    await running.node.start(wait_for_server=True)
    assert running.node.server_state == "none"
    assert running.text("a.md") == "one\n"
    await running.node.close()


def newcomer(owner: Entry, folder: Path, files: dict[str, str]) -> tuple[Running, Path]:
    """Somebody who joins with a folder that holds these files already, and that folder."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return Running(enter_by_link(owner.link, folder, server=None, name=folder.name, policy="auto")), folder


async def test_a_newcomer_looks_at_its_folder_when_it_knows_the_session(
    folder: Path, tmp_path: Path, server: str
) -> None:
    owner = new(folder, server)
    ben, mine = newcomer(owner, tmp_path / "ben", {"a.md": "one\n", "late.md": "only here\n"})
    await ben.node.start(wait_for_server=True)
    assert ben.node.texts.names() == []
    anna = await Running(owner).start()
    await until(lambda: ben.node.texts.names() == ["a.md", "late.md"])
    await until(lambda: anna.node.texts.names() == ["a.md", "late.md"])
    await until(lambda: (folder / "late.md").exists())
    assert sorted(path.name for path in mine.iterdir()) == [".weft", "a.md", "late.md"]
    await ben.node.close()
    await anna.node.close()


async def test_a_newcomer_that_was_stopped_too_early_is_one_again(
    folder: Path, tmp_path: Path, server: str
) -> None:
    owner = new(folder, server)
    ben, mine = newcomer(owner, tmp_path / "ben", {"a.md": "one\n"})
    await (await ben.start()).node.close()
    resumed = again(mine)
    assert resumed.resumed
    assert resumed.plan.newcomer
    ben = await Running(resumed).start()
    anna = await Running(owner).start()
    await until(lambda: ben.node.texts.names() == ["a.md"])
    await until(lambda: sorted(path.name for path in mine.iterdir()) == [".weft", "a.md"])
    await ben.node.close()
    await anna.node.close()
    assert not again_is_newcomer(mine)


async def test_two_newcomers_who_meet_first_have_nothing_to_tell_each_other(
    folder: Path, tmp_path: Path, server: str
) -> None:
    """Each of them has all files of the session, and not the session: those are not shared anew."""
    owner = new(folder, server)
    newcomers = [newcomer(owner, tmp_path / name, {"a.md": "one\n"})[0] for name in ("ben", "eva")]
    ben, eva = newcomers
    for one in newcomers:
        await one.node.start(wait_for_server=True)
    await until(lambda: all(any(isinstance(n, SyncDone) for n in one.notices) for one in newcomers))
    anna = await Running(owner).start()
    await until(lambda: all(one.node._scanned.is_set() for one in newcomers))
    for one in newcomers:
        await one.node.driver.caught_up()
        await until(lambda: len(anna.node.session.peers()) == 2)
    assert anna.node.texts.names() == ben.node.texts.names() == eva.node.texts.names() == ["a.md"]
    for one in (anna, ben, eva):
        await one.node.close()


async def test_a_newcomer_shares_what_it_has_with_an_empty_session_after_a_while(
    folder: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_module, "EMPTY_SECONDS", 0.2)
    (folder / "a.md").unlink()
    owner = new(folder, server)
    ben, _ = newcomer(owner, tmp_path / "ben", {"late.md": "only here\n"})
    await ben.node.start(wait_for_server=True)
    anna = await Running(owner).start()
    await until(lambda: (folder / "late.md").exists())
    await ben.node.close()
    await anna.node.close()


def again_is_newcomer(folder: Path) -> bool:
    entry = again(folder)
    assert entry.plan.store is not None
    entry.plan.store.close()
    return entry.plan.newcomer


async def test_edits_made_by_an_application_outside_of_a_turn_are_fed_at_once(folder: Path) -> None:
    running = await Running(new(folder)).start()
    doc = next(doc for doc in running.node.documents.ids() if doc != INDEX)
    running.node.documents.open(doc).edit([Edit(0, 0, "api: ")])
    await until(lambda: (folder / "a.md").read_text() == "api: one\n", 2.0)
    await running.node.close()
