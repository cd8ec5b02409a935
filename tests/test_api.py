"""The public API, over a real server and real data channels on this machine."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

import pytest
from aiohttp import web

import peer
from peer.core.notices import ConnectStage, FileChanged, Notice, PeerLeft, ServerState, Trouble, Warned
from peer.edge import listeners as listeners_module
from peer.errors import ServerUnreachable, UsageError, WouldOverwrite
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.conftest import PATIENCE

SomeNotice = TypeVar("SomeNotice", bound=Notice)
SECONDS: Final = 15.0 * PATIENCE
SOON: Final = 1.0 * PATIENCE


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with RoomServer(Settings(port=0)) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture(autouse=True)
async def _nothing_is_left_over() -> AsyncIterator[None]:
    """No task, thread or descriptor outlives a session."""
    before = set(asyncio.all_tasks())
    yield
    left: list[object] = []
    try:
        async with asyncio.timeout(SECONDS):
            while left := [*(asyncio.all_tasks() - before - {asyncio.current_task()})]:
                await asyncio.sleep(0.01)
            while left := [thread for thread in threading.enumerate() if thread.name.startswith("weft-")]:
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"still there: {left}")


async def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.003)


async def told(session: peer.Session, kind: type[SomeNotice], seconds: float = SECONDS) -> SomeNotice:
    """The first notice of this kind, now or later."""
    async with asyncio.timeout(seconds):
        async for notice in session.events():
            if isinstance(notice, kind):
                return notice
    raise AssertionError(f"the session ended without a {kind.__name__}")


async def is_direct(session: peer.Session) -> None:
    await until(lambda: [state.path for state in session.peers] == ["direct"])


def nobody_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


# --- together -------------------------------------------------------------------------------------------


async def test_two_write_one_text(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna:
        anna.text("notes.md").insert(0, "日本 is far. ")
        async with peer.join(anna.link, name="ben") as ben:
            await ben.synced()
            assert str(ben.text("notes.md")) == "日本 is far. "
            ben.text("notes.md").append("So is the moon 😀")
            await until(lambda: str(anna.text("notes.md")) == "日本 is far. So is the moon 😀")
            await is_direct(ben)
            ben.text("notes.md").doc["text"] += "!"
            await until(lambda: str(anna.text("notes.md")).endswith("😀!"))
            assert (anna.files, anna.text_bytes) == (ben.files, ben.text_bytes) == (1, 35)
            assert anna.texts() == ["notes.md"]


async def test_both_make_the_same_name_before_they_meet(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        anna.text("notes.md").append("a")
        ben.text("notes.md").append("b")
        await until(lambda: sorted(str(anna.text("notes.md"))) == ["a", "b"])
        await until(lambda: str(ben.text("notes.md")) == str(anna.text("notes.md")))
        assert anna.texts() == ben.texts() == ["notes.md"]


async def test_a_change_by_another_is_an_event_with_its_name(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        anna.text("notes.md").append("hello")
        (who,) = ben.peers
        assert await told(ben, FileChanged) == FileChanged("notes.md", "created", "anna", None, who.id)
        assert str(ben.text("notes.md")) == "hello"


async def test_who_leaves_the_block_says_goodbye(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna:
        async with peer.join(anna.link, name="ben") as ben:
            await is_direct(ben)
            await is_direct(anna)
        left = time.monotonic()
        gone = await told(anna, PeerLeft, SOON)
        assert (gone.name, gone.reason) == ("ben", "bye")
        assert time.monotonic() - left < SOON
        assert anna.peers == []


async def test_who_leaves_on_the_relay_says_goodbye_too(server: str) -> None:
    async with peer.share(server=server, name="anna", path_policy="relay") as anna:
        async with peer.join(anna.link, name="ben", path_policy="relay") as ben:
            await ben.synced()
        assert (await told(anna, PeerLeft, SOON)).reason == "bye"


async def test_leaving_twice_is_leaving_once(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna:
        await asyncio.gather(anna.leave(), anna.leave())
        await anna.leave()
        assert [notice async for notice in anna.events() if isinstance(notice, Trouble)] == []
    await anna.leave()


async def test_everything_about_a_session_can_be_json(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        anna.text("notes.md").append("hello")
        anna.set_presence(path="notes.md", cursor=(1, 3), typing=True)
        await until(lambda: [seen.cursor for seen in ben.presence] == [(1, 3)])
        await is_direct(ben)
        (state,) = json.loads(json.dumps([asdict(state) for state in ben.peers]))
        assert (state["name"], state["role"], state["path"], state["file"]) == (
            "anna",
            "owner",
            "direct",
            "notes.md",
        )
        (seen,) = json.loads(json.dumps([asdict(seen) for seen in ben.presence]))
        assert (seen["path"], seen["cursor"], seen["typing"], seen["here"]) == (
            "notes.md",
            [1, 3],
            True,
            True,
        )
        status = json.loads(json.dumps(ben.status()))
        assert status["server"] == {"url": server, "state": "connected"}
        assert status["session"] == anna.session_id
        assert (status["role"], status["folder"], len(status["peers"])) == ("editor", None, 1)
        summary = json.loads(json.dumps(ben.summary()))
        assert (summary["files"], summary["text_bytes"], summary["peers"]) == (1, 5, 1)
        assert summary["changed_files"] >= 1


async def test_a_slow_listener_is_told_what_it_missed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners_module, "NOTICES_WAITING", 4)
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        listening = ben.events()
        await anext(listening)
        for number in range(12):
            anna.text(f"{number}.md").append("x")
        await until(lambda: ben.summary()["changed_files"] == 12)
        missed = await anext(listening)
        assert isinstance(missed, Warned)
        assert missed.code == "W-EVENTS"
        rest = [await anext(listening) for _ in range(4)]
        assert all(isinstance(notice, FileChanged) and notice.by == "anna" for notice in rest)


async def test_three_meet_each_other(server: str) -> None:
    async with (
        peer.share(server=server, name="anna") as anna,
        peer.join(anna.link, name="ben") as ben,
        peer.join(ben.link, name="carla") as carla,
    ):
        carla.text("a.md").append("from carla")
        await until(lambda: str(anna.text("a.md")) == str(ben.text("a.md")) == "from carla")
        await until(lambda: len(anna.peers) == len(ben.peers) == len(carla.peers) == 2)


# --- the server -------------------------------------------------------------------------------------------


async def test_where_nobody_listens_a_new_session_fails_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(ServerUnreachable):
        await peer.share(server=nobody_listens()).__aenter__()
    assert time.monotonic() - began < 3 * PATIENCE


async def test_where_nobody_listens_the_server_in_the_link_is_as_good(server: str) -> None:
    async with peer.share(server=server) as anna, peer.join(anna.link, server=nobody_listens()) as ben:
        await ben.synced()
        assert ben.status()["server"] == {"url": server, "state": "connected"}


async def test_a_session_without_any_server_is_not_begun() -> None:
    with pytest.raises(UsageError, match="server"):
        async with peer.share():
            raise AssertionError("there is no server")


async def test_a_session_that_goes_on_needs_no_server(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("one")
    async with peer.share(folder, server=server, name="anna") as first:
        assert first.files == 1
        assert not first.resumed
    async with peer.share(folder, server=nobody_listens()) as again:
        assert again.resumed
        assert again.session_id == first.session_id
        assert str(again.text("a.md")) == "one"
        again.text("a.md").append(" two")
        await until(lambda: (folder / "a.md").read_text() == "one two")
        await until(lambda: again.status()["server"] != {})
    async with peer.join(folder, server=nobody_listens()) as later:
        assert str(later.text("a.md")) == "one two"


async def test_connected_peers_go_on_when_the_server_is_gone() -> None:
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(RoomServer(Settings(port=0)))
        url = f"http://127.0.0.1:{running.port}"
        anna = await stack.enter_async_context(peer.share(server=url, name="anna"))
        ben = await stack.enter_async_context(peer.join(anna.link, name="ben"))
        await is_direct(anna)
        await is_direct(ben)
        await running.drain(reconnect_seconds=0.0)
        await running.stop()
        await until(lambda: json.dumps(ben.status()).count('"lost"') == 1)
        anna.text("notes.md").append("no server")
        await until(lambda: str(ben.text("notes.md")) == "no server")


@contextlib.asynccontextmanager
async def grumpy_server(port: int) -> AsyncIterator[str]:
    """A server that lets nobody in, and says that it never will."""

    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=403, headers={"Weft-Error": "4503 go-away"})

    app = web.Application()
    app.router.add_get("/{any:.*}", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def test_a_server_that_refuses_for_good_leaves_a_session_that_can_be_used(
    server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    async with RoomServer(Settings(port=0)) as first:
        port = first.port
        async with peer.share(folder, server=first.url, name="anna"):
            pass
    async with grumpy_server(port) as grumpy, peer.share(folder, server=grumpy) as anna:
        trouble = await told(anna, Trouble)
        assert trouble.code == "E-SERVER"
        assert anna.status()["server"] == {"url": grumpy, "state": "refused"}
        anna.text("a.md").append("kept")
        await until(lambda: (folder / "a.md").exists() and (folder / "a.md").read_text() == "kept")
    async with peer.share(folder, server=server) as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        assert str(ben.text("a.md")) == "kept"


# --- folders ------------------------------------------------------------------------------------------------


async def test_a_folder_and_a_text_in_memory_are_one_session(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "é.md").write_text("from the disk\n")
    async with peer.share(folder, server=server, name="anna") as anna:
        assert (anna.files, anna.folder) == (1, folder.resolve())
        async with peer.join(anna.link, name="ben") as ben:
            await ben.synced()
            assert str(ben.text("deep/é.md")) == "from the disk\n"
            ben.text("deep/é.md").append("from memory\n")
            ben.text("new.md").append("made in memory\n")
            await until(lambda: (folder / "deep" / "é.md").read_text() == "from the disk\nfrom memory\n")
            await until(lambda: (folder / "new.md").exists())
            await until(lambda: (folder / "new.md").read_text() == "made in memory\n")
            (folder / "new.md").write_text("changed on disk\n")
            await until(lambda: str(ben.text("new.md")) == "changed on disk\n")


async def test_a_text_made_through_the_api_is_a_file_on_both_sides(server: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    async with (
        peer.share(one, server=server, name="anna") as anna,
        peer.join(anna.link, two, name="ben") as ben,
    ):
        await ben.synced()
        ben.text("sub/notes.md").append("hello")
        for folder in (one, two):
            path = folder / "sub" / "notes.md"
            await until(lambda path=path: path.exists() and path.read_text() == "hello")  # type: ignore[misc]
        assert anna.texts() == ben.texts() == ["sub/notes.md"]


async def test_joining_into_a_folder_with_files_of_its_own_changes_nothing(
    server: str, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    (one / "a.md").write_text("theirs")
    (two / "a.md").write_text("mine")
    (two / "b.md").write_text("mine too")
    async with peer.share(one, server=server, name="anna") as anna:
        with pytest.raises(WouldOverwrite) as caught:
            async with peer.join(anna.link, two, name="ben"):
                raise AssertionError("that would mix two folders")
    assert caught.value.differing == ["a.md: differs", "b.md: only here"]
    assert sorted(path.name for path in two.iterdir()) == ["a.md", "b.md"]


async def test_joining_into_a_folder_that_holds_the_same_doubles_nothing(server: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "a.md").write_text("the same 日本\n")
        (folder / "b.bin").write_bytes(b"\x00\x01\x02")
    async with (
        peer.share(one, server=server, name="anna") as anna,
        peer.join(anna.link, two, name="ben") as ben,
    ):
        store = ben._node.plan.store
        assert store is not None
        await until(lambda: len(store.shadows()) == 2)
        ben.text("a.md").append("and more\n")
        for folder in (one, two):
            path = folder / "a.md"
            await until(lambda path=path: path.read_text() == "the same 日本\nand more\n")  # type: ignore[misc]
        assert sorted(path.name for path in two.iterdir()) == [".weft", "a.md", "b.bin"]
        assert anna.files == ben.files == 2


async def test_what_was_written_apart_is_brought_together(server: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    (one / "a.md").write_text("start\n")
    async with (
        peer.share(one, server=server, name="anna") as anna,
        peer.join(anna.link, two, name="ben") as ben,
    ):
        await ben.synced()
        await until(lambda: (two / "a.md").exists())
    (two / "a.md").write_text("start\nben offline\n")
    async with peer.share(one) as anna, peer.join(two) as ben:
        await until(lambda: (one / "a.md").read_text() == "start\nben offline\n")
        assert ben.resumed


# --- applications that are not polite -----------------------------------------------------------------------


async def test_a_transaction_that_stays_open_over_an_await_hurts_nobody(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        text = ben.text("notes.md")
        text.append("ben. ")
        await until(lambda: str(anna.text("notes.md")) == "ben. ")
        with text.doc.transaction():
            text.doc["text"].insert(0, "slowly ")
            anna.text("notes.md").append("anna.")
            await until(lambda: ben._node.driver._held_since is not None)
            assert "anna" not in str(text)
        await until(lambda: str(text) == str(anna.text("notes.md")) == "slowly ben. anna.")
        assert [notice for notice in ben._listeners._told._notices if isinstance(notice, Trouble)] == []


async def test_a_transaction_that_is_never_ended_does_not_keep_anybody_from_leaving(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.edge.node.LEAVE_SECONDS", 0.3)
    async with peer.share(server=server, name="anna") as anna:
        transaction = anna.text("notes.md").doc.transaction()
        transaction.__enter__()
        await asyncio.sleep(0.05)
        await anna.leave()
        transaction.__exit__(None, None, None)


async def test_an_observer_that_writes_another_text_while_an_update_comes_in_loses_nothing(
    server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    async with (
        peer.share(folder, server=server, name="anna") as anna,
        peer.join(anna.link, name="ben") as ben,
    ):
        await ben.synced()
        copy, source = anna.text("copy.md"), anna.text("source.md")
        in_turn = []

        def at_rest() -> bool:
            disk = anna._node.session._folder
            return disk is not None and disk.next_deadline() is None

        def write(_: object) -> None:
            in_turn.append(anna._node.driver.in_turn)
            copy.append("x")

        await until(lambda: (folder / "copy.md").exists())
        subscription = source.doc.observe(write)
        for number in range(1, 6):
            ben.text("source.md").append("y")
            await until(lambda count=number: len(ben.text("copy.md")) == count)  # type: ignore[misc]
            await until(lambda count=number: (folder / "copy.md").read_text() == "x" * count)  # type: ignore[misc]
            await until(at_rest)  # so that nothing else makes anybody look at the file
        assert in_turn == [True] * 5
        source.doc.unobserve(subscription)


async def test_an_observer_that_fails_hurts_nobody(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()

        def fail(_: object) -> None:
            raise ValueError("not today")

        subscription = anna.text("notes.md").doc.observe(fail)
        ben.text("notes.md").append("hello")
        await until(lambda: str(anna.text("notes.md")) == "hello")
        anna.text("other.md").append("still here")
        await until(lambda: str(ben.text("other.md")) == "still here")
        anna.text("notes.md").doc.unobserve(subscription)


async def test_a_fault_of_weft_ends_the_session_and_the_events_say_so(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "weft.driver")
    async with peer.share(server=server, name="anna") as anna:
        waiting = asyncio.create_task(anna.synced())
        await asyncio.sleep(0)
        anna._node.driver.fail(ValueError("a bug"))
        events = anna.events()
        told = [await anext(events), await anext(events)]
        assert [type(each) for each in told] == [ConnectStage, ServerState]
        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(anext(events), SECONDS)
        with pytest.raises(UsageError, match="ended"):
            await waiting


async def test_waiting_for_others_that_do_not_come_ends(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna:
        with pytest.raises(TimeoutError):
            await anna.synced(0.05)


# --- arguments, and nothing left open -------------------------------------------------------------------


async def test_a_path_policy_that_there_is_not_is_refused(server: str) -> None:
    with pytest.raises(UsageError, match="auto, lan, direct, turn, relay"):
        async with peer.share(server=server, path_policy="fast"):
            pass


def test_the_package_has_what_it_says_and_nothing_else() -> None:
    for name in peer.__all__:
        assert getattr(peer, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        peer.nothing  # noqa: B018


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors through /proc")
async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing_open(
    server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number}.md").write_text("text\n" * 100)

    async def session() -> None:
        async with peer.share(folder, server=server, name="anna"):
            await asyncio.sleep(60)

    async def stopped(seconds: float) -> None:
        task = asyncio.create_task(session())
        await asyncio.wait({task}, timeout=seconds)
        task.cancel()
        await asyncio.wait({task}, timeout=SECONDS)
        assert task.cancelled()

    await stopped(0.2)  # what is only loaded once
    await until(lambda: len(asyncio.all_tasks()) < 12)
    before = descriptors()
    for step in range(12):
        await stopped(step * 0.01)
        async with peer.share(folder) as anna:  # its store is free again
            assert anna.resumed
    await until(lambda: descriptors() <= before + 2)


async def test_a_ping_measures_the_way_to_a_peer_and_names_it(server: str) -> None:
    async with peer.share(server=server, name="anna") as anna, peer.join(anna.link, name="ben") as ben:
        await ben.synced()
        (state,) = ben.peers
        pong = await ben.ping(state.id)
        assert (pong.name, pong.peer) == ("anna", state.id)
        assert pong.path in ("relay", "direct", "lan")
        assert pong.rtt_ms > 0
        with pytest.raises(UsageError, match="nobody with this id"):
            await ben.ping("somebody")
        assert not ben._pings, "no question is left open"
        rows = ben.status()["peers"]
        assert isinstance(rows, list)
        assert [row["name"] for row in rows] == ["anna"]
        assert rows[0]["state"] in ("here", "editing")
