import asyncio
import os
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from peer.core.actions import MoveFile, ReadFile, RemoveFile, ReplaceFile
from peer.core.events import DisplacedChanged, FileMissing, FileSeen, FileTrouble
from peer.edge.change_source import ChangeSource, PollingSource, SourceFailed, WatchfilesSource
from peer.edge.folder import Folder
from peer.edge.known import Known
from peer.edge.safe_paths import Found
from peer.edge.watcher import Settling, Watcher, best_source
from tests.edge.folders import Room, content_of, digest

SOURCES: dict[str, Callable[[Folder], ChangeSource]] = {
    "best": best_source,
    "watchfiles": lambda folder: WatchfilesSource(folder.root.path, folder.is_of_interest),
    "polling": lambda folder: PollingSource(),
}


def queued_events() -> int:
    """How many changes inotify holds for a program that does not fetch them."""
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@pytest.fixture(params=["best", "watchfiles"])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.txt").write_bytes(b"first")
    async with Room(tmp_path, watched=True, source=SOURCES[request.param]) as opened:
        await opened.scan()
        opened.events.clear()
        yield opened


async def seen(room: Room, path: str, content: bytes) -> FileSeen:
    return await room.event(FileSeen, lambda event: (event.path, event.content) == (path, content))


async def fence(room: Room) -> list[str]:
    """Wait until everything done to the disk so far was heard of; return what paths were told of."""
    name = f"fence{time.monotonic_ns()}"
    (room.path / name).write_bytes(b"x")
    await seen(room, name, b"x")
    await room.idle()
    return [path for event in room.events if (path := getattr(event, "path", ".")) and "fence" not in path]


# --- the scan ---------------------------------------------------------------------------------------


async def test_a_scan_reports_each_shared_file_once_and_then_the_end(tmp_path: Path) -> None:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "node_modules/x").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    texts = {"a": b"1", "d/b": b"2", "d/e/c": b"3", ".gitignore": b"node_modules/\n*.log\n"}
    for name, text in {
        **texts,
        "node_modules/x/y": b"",
        "d/z.log": b"",
        ".git/config": b"",
        "a~": b"",
    }.items():
        (tmp_path / name).write_bytes(text)
    async with Room(tmp_path) as room:
        events = await room.scan()
        assert all(isinstance(event, FileSeen) for event in events)
        assert {getattr(event, "path", ""): content_of(event) for event in events} == texts
        assert len(events) == len(texts)


async def test_a_scan_answers_for_paths_that_the_session_knows(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"*.log\n")
    (tmp_path / "a.log").write_bytes(b"tracked")
    (tmp_path / "b.log").write_bytes(b"untracked")
    async with Room(tmp_path) as room:
        events = await room.scan(known=("a.log", "gone.txt"))
        assert FileMissing("gone.txt") in events
        assert {event.path for event in events if isinstance(event, FileSeen)} == {".gitignore", "a.log"}


async def test_what_is_not_shared_is_told_once_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "dirlink").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "aux.c").write_bytes(b"")
    (tmp_path / "back\\slash").write_bytes(b"")
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"")
    (tmp_path / "e\u0301").write_bytes(b"")
    (tmp_path / "fine").write_bytes(b"fine")
    async with Room(tmp_path) as room:
        events = await room.scan()
        reasons = {event.path: event.reason for event in events if isinstance(event, FileTrouble)}
        assert set(reasons) == {"link", "dirlink", "pipe", "aux.c", "back\\slash", "caf\ufffd", "e\u0301"}
        assert "link" in reasons["link"]
        assert "pipe" in reasons["pipe"]
        assert "Windows" in reasons["aux.c"]
        assert "not valid Unicode" in reasons["caf\ufffd"]
        assert [event.path for event in events if isinstance(event, FileSeen)] == ["fine"]
        again = await room.scan()
        assert [type(event) for event in again] == [FileSeen]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
async def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "a").chmod(0)
    async with Room(tmp_path) as room:
        assert [type(event) for event in await room.scan()] == [FileTrouble]


async def test_a_thousand_files_are_scanned_quickly_and_the_loop_goes_on_meanwhile(tmp_path: Path) -> None:
    for i in range(1000):
        (tmp_path / f"d{i % 20}").mkdir(exist_ok=True)
        (tmp_path / f"d{i % 20}/f{i}.txt").write_bytes(b"some words of text\n" * 50)
    async with Room(tmp_path) as room:
        longest = 0.0

        async def turn() -> None:
            nonlocal longest
            while True:
                begin = time.perf_counter()
                await asyncio.sleep(0)
                longest = max(longest, time.perf_counter() - begin)

        turning = asyncio.create_task(turn())
        begin = time.perf_counter()
        events = await room.scan()
        took = time.perf_counter() - begin
        turning.cancel()
        measured = f"{took:.3f} s, the loop stood still for {longest * 1000:.1f} ms at most"
        assert len(events) == 1000
        assert took < 3.0, measured
        assert longest < 0.5, measured


async def test_one_file_too_many_is_told_and_the_rest_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.edge.scan.FILES_LIMIT", 3)
    for i in range(5):
        (tmp_path / str(i)).write_bytes(b"")
    async with Room(tmp_path) as room:
        events = await room.scan()
        assert [type(event) for event in events] == [FileSeen] * 3 + [FileTrouble]


# --- what is left of a run that was killed -----------------------------------------------------------


async def test_what_a_killed_run_left_half_done_is_taken_in_before_the_scan(tmp_path: Path) -> None:
    scratch = tmp_path / ".weft/tmp"
    scratch.mkdir(parents=True)
    (scratch / "part-00000001-a.txt").write_bytes(b"half a dra")
    (scratch / "full-00000002-d%2Fa.txt").write_bytes(b"displaced and never reported")
    (scratch / "full-00000003-empty").write_bytes(b"")
    known = digest(b"displaced and reported")[:8].hex()
    (scratch / f"seen-00000004{known}-d%2Fa.txt").write_bytes(b"displaced and reported")
    (scratch / f"seen-00000008{known}-d%2Fc.txt").write_bytes(b"displaced and reported, and then more")
    (scratch / "back-00000005-d%2F100%25.txt").write_bytes(b"stepped aside")
    (scratch / "back-00000006-taken").write_bytes(b"stepped aside too")
    (tmp_path / "taken").write_bytes(b"newer")
    (tmp_path / "d").mkdir()
    (tmp_path / "d/.weft-tmp-full-00000007-b.txt").write_bytes(b"on another disk")
    async with Room(tmp_path) as room:
        events = await room.scan()
        displaced = {event.path: event.content for event in events if isinstance(event, DisplacedChanged)}
        assert displaced == {
            "d/a.txt": b"displaced and never reported",
            "taken": b"stepped aside too",
            "d/b.txt": b"on another disk",
        }
        written_later = b"displaced and reported, and then more"
        (trouble,) = [event for event in events if isinstance(event, FileTrouble)]
        assert trouble.path == "d/c.txt"
        assert (tmp_path / trouble.reason.split()[-1]).read_bytes() == written_later
        assert (tmp_path / "d/100%.txt").read_bytes() == b"stepped aside"
        assert (tmp_path / "taken").read_bytes() == b"newer"
        assert os.listdir(scratch) == []
        assert os.listdir(tmp_path / "d") == ["100%.txt"]
        kept = sorted(file.read_bytes() for file in (tmp_path / ".weft/trash").iterdir())
        assert kept == sorted([*displaced.values(), b"", b"displaced and reported", written_later])


# --- watching ---------------------------------------------------------------------------------------


async def test_every_way_to_save_is_seen(room: Room) -> None:
    file = room.path / "d/a.txt"
    file.write_bytes(b"cut short and written")
    await seen(room, "d/a.txt", b"cut short and written")
    with file.open("ab") as appended:
        appended.write(b"!")
    await seen(room, "d/a.txt", b"cut short and written!")
    (room.path / "d/a.txt~").write_bytes(b"renamed over")
    (room.path / "d/a.txt~").replace(file)
    await seen(room, "d/a.txt", b"renamed over")
    file.rename(room.path / "d/a.txt~")
    file.write_bytes(b"moved away and written anew")
    await seen(room, "d/a.txt", b"moved away and written anew")
    with file.open("r+b", buffering=0) as held:
        held.write(b"M")
        await seen(room, "d/a.txt", b"Moved away and written anew")
    file.chmod(0o755)
    await room.event(FileSeen, lambda event: event.stamp.mode == 0o755)
    (room.path / "hard").hardlink_to(file)
    await seen(room, "hard", b"Moved away and written anew")


async def test_new_directories_moved_ones_and_removed_ones_are_followed(
    room: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "new/deep").mkdir(parents=True)
    (elsewhere / "new/b").write_bytes(b"b")
    (elsewhere / "new/deep/c").write_bytes(b"c")
    (elsewhere / "new").rename(room.path / "new")
    await seen(room, "new/b", b"b")
    await seen(room, "new/deep/c", b"c")
    (room.path / "new/deep/c").write_bytes(b"changed where it moved in")
    await seen(room, "new/deep/c", b"changed where it moved in")
    (room.path / "new").rename(room.path / "other")
    await seen(room, "other/deep/c", b"changed where it moved in")
    await room.event(FileMissing, lambda event: event.path == "new/b")
    await room.event(FileMissing, lambda event: event.path == "new/deep/c")
    (room.path / "other/deep/c").write_bytes(b"changed under the new name")
    await seen(room, "other/deep/c", b"changed under the new name")
    shutil.rmtree(room.path / "other")
    await room.event(FileMissing, lambda event: event.path == "other/b")
    await room.event(FileMissing, lambda event: event.path == "other/deep/c")
    (room.path / "made/at/once").mkdir(parents=True)
    (room.path / "made/at/once/x").write_bytes(b"x")
    await seen(room, "made/at/once/x", b"x")


async def test_a_file_in_place_of_a_directory_and_the_other_way_round(room: Room) -> None:
    shutil.rmtree(room.path / "d")
    (room.path / "d").write_bytes(b"now a file")
    await seen(room, "d", b"now a file")
    await room.event(FileMissing, lambda event: event.path == "d/a.txt")
    (room.path / "d").unlink()
    (room.path / "d").mkdir()
    (room.path / "d/b").write_bytes(b"b")
    await seen(room, "d/b", b"b")
    await room.event(FileMissing, lambda event: event.path == "d")


async def test_what_is_ignored_is_not_told_of(room: Room) -> None:
    (room.path / ".gitignore").write_bytes(b"*.log\nout/\n")
    await seen(room, ".gitignore", b"*.log\nout/\n")
    (room.path / "out").mkdir()
    for name in ("a.log", "out/x", "d/.a.txt.swp", "d/4913", "d/a.txt~", ".weft/anything"):
        (room.path / name).write_bytes(b"x")
    assert set(await fence(room)) == {".gitignore"}


async def test_taking_a_rule_away_brings_in_what_it_left_out(room: Room) -> None:
    (room.path / ".weftignore").write_bytes(b"*.log\n")
    await seen(room, ".weftignore", b"*.log\n")
    (room.path / "d/a.log").write_bytes(b"log")
    assert "d/a.log" not in await fence(room)
    (room.path / ".weftignore").unlink()
    await seen(room, "d/a.log", b"log")


async def test_a_rule_from_a_peer_leaves_out_at_once_but_brings_nothing_in(room: Room) -> None:
    (room.path / ".gitignore").write_bytes(b"*.key\n")
    await seen(room, ".gitignore", b"*.key\n")
    (room.path / "my.key").write_bytes(b"private")
    await room.answers(ReplaceFile(".gitignore", digest(b"*.key\n"), b"*.log\n", 0o644))
    (room.path / "other.key").write_bytes(b"private")
    (room.path / "my.key").write_bytes(b"still private")
    (room.path / "a.log").write_bytes(b"log")
    paths = await fence(room)
    room.folder.sweep()
    paths += await fence(room)
    assert not {"my.key", "other.key", "a.log"} & set(paths)


async def test_our_own_writes_are_not_told_again(room: Room) -> None:
    content = b"first"
    for i in range(20):
        new = b"version %d" % i
        await room.ask(ReplaceFile("d/a.txt", digest(content), new, 0o644))
        content = new
    await room.ask(ReplaceFile("d/new.txt", None, b"new", 0o644))
    await room.ask(MoveFile("d/new.txt", "e/moved.txt", digest(b"new")))
    await room.ask(RemoveFile("e/moved.txt", digest(b"new")))
    start = len(room.events)
    await fence(room)
    assert [event for event in room.events[start:] if "fence" not in getattr(event, "path", "")] == []


async def test_two_saves_within_one_tick_of_the_clock_are_told_apart(room: Room) -> None:
    file = room.path / "d/a.txt"
    chance = random.Random(3)
    for _ in range(100):
        content = b"%05d" % chance.randrange(100_000)
        with file.open("r+b", buffering=0) as same_file:
            same_file.write(content)
            os.utime(same_file.fileno(), ns=(0, 0))
    await seen(room, "d/a.txt", content)


async def test_links_in_the_folder_are_told_once_and_not_followed(
    room: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_bytes(b"secret")
    (room.path / "link").symlink_to(outside)
    await room.event(FileTrouble, lambda event: event.path == "link")
    (outside / "secret").write_bytes(b"more secrets")
    await fence(room)
    room.folder.sweep()
    await fence(room)
    assert not any("secret" in getattr(event, "path", "") for event in room.events)
    assert len([event for event in room.events if isinstance(event, FileTrouble)]) <= 2


async def test_a_folder_that_is_moved_away_is_not_taken_for_deleted_files(room: Room) -> None:
    away = room.path.with_name(room.path.name + " away")
    room.path.rename(away)
    room.folder.check_place()
    trouble = await room.event(FileTrouble)
    assert trouble.path == "."
    assert "nothing in it counts as deleted" in trouble.reason
    (away / "d/a.txt").unlink()
    assert isinstance(await room.ask(ReadFile("d/a.txt")), FileTrouble)
    room.folder.sweep()
    await room.idle()
    assert not any(isinstance(event, FileMissing) for event in room.events)
    away.rename(room.path)
    (room.path / "d/b.txt").write_bytes(b"back")
    room.folder.check_place()
    await room.event(FileMissing, lambda event: event.path == "d/a.txt")
    await seen(room, "d/b.txt", b"back")


async def test_a_folder_without_its_mark_is_not_taken_for_deleted_files(room: Room) -> None:
    (room.path / ".weft").rename(room.path.with_name(room.path.name + " mark"))
    (room.path / "d/a.txt").unlink()
    room.folder.look("d/a.txt")
    assert (await room.event(FileTrouble)).path == "."
    assert not any(isinstance(event, FileMissing) for event in room.events)
    room.path.with_name(room.path.name + " mark").rename(room.path / ".weft")


async def test_a_source_that_fails_is_told_and_the_folder_is_polled(tmp_path: Path) -> None:
    def limit_reached(folder: Folder) -> ChangeSource:
        raise SourceFailed("sudo sysctl fs.inotify.max_user_watches=524288")

    async with Room(tmp_path, watched=True, source=limit_reached) as room:
        await room.scan()
        trouble = await room.event(FileTrouble)
        assert trouble == FileTrouble(".", "sudo sysctl fs.inotify.max_user_watches=524288")
        (tmp_path / "a").write_bytes(b"polled")
        await seen(room, "a", b"polled")
        (tmp_path / "a").unlink()
        await room.event(FileMissing)


async def test_more_changes_than_the_system_keeps_are_found_by_looking_everywhere(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    held = queued_events()
    if held > 20_000:
        pytest.skip("the system keeps more changes than are made here")

    async with Room(tmp_path) as room:
        await room.scan()
        source = best_source(room.folder)
        for i in range(held // 3 + 100):
            file = tmp_path / f"{i % 50}"
            with file.open("wb", buffering=0) as out:
                out.write(b"%d" % i)
        (tmp_path / "d").mkdir()
        (tmp_path / "d/last").write_bytes(b"after the queue was full")
        watcher = Watcher(room.folder, lambda folder: source)
        await watcher.start()
        await seen(room, "d/last", b"after the queue was full")
        (tmp_path / "d/last").write_bytes(b"and watched from then on")
        await seen(room, "d/last", b"and watched from then on")
        await watcher.close()


async def test_a_save_is_told_of_within_a_blink(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"first")
    times: list[float] = []
    async with Room(tmp_path, watched=True) as room:
        await room.scan()
        for i in range(100):
            content = b"version %d" % i
            if i % 2:
                (tmp_path / "a.txt~").write_bytes(content)
                (tmp_path / "a.txt~").replace(file)
            else:
                file.write_bytes(content)
            begin = time.perf_counter()
            await seen(room, "a.txt", content)
            times.append(time.perf_counter() - begin)
            room.events.clear()
    times.sort()
    assert times[50] < 0.1, f"p50 {times[50] * 1000:.2f} ms, p99 {times[98] * 1000:.2f} ms"


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
async def test_directories_that_are_gone_or_left_out_are_not_watched(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path / "out/deep").mkdir(parents=True)
    (tmp_path / ".git/objects").mkdir(parents=True)
    (tmp_path / ".gitignore").write_bytes(b"out/\n")
    before = watches()
    async with Room(tmp_path, watched=True) as room:
        await room.scan()
        assert watches() == before + 2  # the folder, and where displaced files are
        (tmp_path / "a/b/c").mkdir(parents=True)
        await fence(room)
        assert watches() == before + 5
        (tmp_path / "a/b").rename(tmp_path_factory.mktemp("elsewhere") / "b")
        await fence(room)
        assert watches() == before + 3


def watches() -> int:
    """How many directories this process watches, as the kernel counts them."""
    infos: list[str] = []
    for file in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            infos.append(file.read_text())
    return sum(info.count("inotify wd:") for info in infos)


# --- what the core knows already ----------------------------------------------------------------------


def test_a_file_that_was_read_when_it_was_young_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"text")
    found = Found(b"text", file.stat())
    written = max(found.status.st_mtime, found.status.st_ctime)
    for age, is_enough in ((0.0, False), (2.0, False), (-1.0, False), (2.5, True)):
        known = Known(lambda age=age: written + age)  # type: ignore[misc]
        known.note("a", found)
        assert known.is_unchanged("a", found.status) is is_enough
        assert known.is_same("a", found)
    assert not known.is_unchanged("b", found.status)
    assert not known.is_same("b", found)
    assert not known.is_same("a", Found(b"other", found.status))
    assert not known.is_same("a", Found(None, found.status))


def test_known_files_are_found_by_their_directory() -> None:
    known = Known(lambda: 0.0)
    status = Path(__file__).stat()
    for path in ("a", "d/b", "d/e/c", "de/f"):
        known.note(path, Found(b"", status))
        known.note(path, Found(b"again", status))
    assert known.below("d") == ["d/b", "d/e/c"]
    assert known.below("d/e") == ["d/e/c"]
    assert known.below("x") == []
    known.forget("d/e/c")
    known.forget("d/e/c")
    assert known.below("d/e") == []
    assert known.paths() == ["a", "d/b", "de/f"]
    assert len(known) == 3


# --- waiting for the end of a save --------------------------------------------------------------------


def test_a_path_is_ready_when_it_was_quiet_for_a_moment() -> None:
    settling = Settling()
    assert settling.next_due() == float("inf")
    settling.note("a", 0.0)
    settling.note("b", 0.01)
    assert settling.next_due() == pytest.approx(0.03)
    assert settling.take(0.029) == []
    assert settling.take(0.031) == ["a"]
    settling.forget("b")
    settling.forget("never noted")
    assert settling.take(1.0) == []


def test_a_path_that_is_never_quiet_is_ready_all_the_same() -> None:
    settling = Settling()
    ready: list[float] = []
    for tick in range(100):
        settling.note("a", tick / 100)
        ready += [tick / 100 for _ in settling.take(tick / 100)]
    assert 3 <= len(ready) <= 5
