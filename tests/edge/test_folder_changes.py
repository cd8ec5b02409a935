import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from peer.core.actions import FileAction, MoveFile, ReadFile, RemoveFile, ReplaceFile
from peer.core.events import (
    DisplacedChanged,
    FileMissing,
    FileMoved,
    FileRemoved,
    FileReplaced,
    FileSeen,
    FileTrouble,
    ReplaceRefused,
)
from peer.edge.changes import mode_after
from peer.edge.exchange import PlainRenames, Renames, best_renames
from peer.errors import UsageError
from tests.edge.folders import Room, digest


@pytest.fixture(params=["kernel", "plain"])
def renames(request: pytest.FixtureRequest) -> Renames:
    return best_renames() if request.param == "kernel" else PlainRenames()


@pytest.fixture
async def room(tmp_path: Path, renames: Renames) -> AsyncIterator[Room]:
    async with Room(tmp_path, renames=renames) as opened:
        yield opened


def scratch(room: Room) -> list[str]:
    return os.listdir(room.path / ".weft/tmp")


def trash(room: Room) -> list[bytes]:
    return [file.read_bytes() for file in sorted((room.path / ".weft/trash").iterdir())]


async def test_a_file_is_read_with_its_stamp(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"hello")
    file.chmod(0o640)
    answer = await room.ask(ReadFile("a.txt"))
    assert isinstance(answer, FileSeen)
    status = file.stat()
    assert answer.content == b"hello"
    stamp = answer.stamp
    assert (stamp.inode, stamp.mtime_ns, stamp.size, stamp.mode) == (
        status.st_ino,
        status.st_mtime_ns,
        5,
        0o640,
    )


async def test_reading_what_is_not_there_says_so(room: Room) -> None:
    assert await room.ask(ReadFile("a.txt")) == FileMissing("a.txt")
    (room.path / "d").write_bytes(b"a file")
    assert await room.ask(ReadFile("d/a.txt")) == FileMissing("d/a.txt")


async def test_a_file_over_the_limit_is_reported_without_its_content(tmp_path: Path) -> None:
    async with Room(tmp_path, limit=10) as room:
        (tmp_path / "ten").write_bytes(b"0123456789")
        (tmp_path / "eleven").write_bytes(b"0123456789!")
        ten = await room.ask(ReadFile("ten"))
        eleven = await room.ask(ReadFile("eleven"))
        assert isinstance(ten, FileSeen)
        assert isinstance(eleven, FileSeen)
        assert ten.content == b"0123456789"
        assert eleven.content is None
        assert eleven.stamp.size == 11
        refused = await room.ask(ReplaceFile("eleven", digest(b"x"), b"y", 0o644))
        assert refused == ReplaceRefused("eleven", None, eleven.stamp)
        also_refused = await room.ask(ReplaceFile("eleven", None, b"y", 0o644))
        assert also_refused == ReplaceRefused("eleven", None, eleven.stamp)


async def test_a_new_file_gets_its_directories_and_the_mode_that_the_umask_leaves(room: Room) -> None:
    mask = os.umask(0o027)
    try:
        answer = await room.ask(ReplaceFile("one/two/a.sh", None, b"#!", 0o777))
    finally:
        os.umask(mask)
    file = room.path / "one/two/a.sh"
    assert isinstance(answer, FileReplaced)
    assert answer.displaced is None
    assert file.read_bytes() == b"#!"
    assert stat.S_IMODE(file.stat().st_mode) == 0o750
    assert stat.S_IMODE((room.path / "one").stat().st_mode) == 0o750
    assert (answer.stamp.inode, answer.stamp.mode) == (file.stat().st_ino, 0o750)


async def test_a_new_file_can_always_be_written_by_its_owner_and_never_runs_as_somebody_else(
    room: Room,
) -> None:
    await room.ask(ReplaceFile("a", None, b"", 0o6000))
    assert stat.S_IMODE((room.path / "a").stat().st_mode) == 0o600


async def test_replacing_keeps_the_mode_and_reports_what_was_displaced(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"old")
    file.chmod(0o606)
    answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert isinstance(answer, FileReplaced)
    assert answer.displaced == b"old"
    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o606
    assert answer.stamp.inode == file.stat().st_ino
    assert answer.stamp.mtime_ns == file.stat().st_mtime_ns


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
async def test_replacing_keeps_the_owner(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"old")
    os.chown(file, 1234, 2345)
    await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 2345)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="extended attributes have another form here")
async def test_replacing_keeps_extended_attributes(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"old")
    try:
        os.setxattr(file, "user.colour", b"green")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert os.getxattr(file, "user.colour") == b"green"


@pytest.mark.parametrize(
    ("present", "wanted", "after"),
    [
        (0o644, 0o755, 0o755),
        (0o755, 0o644, 0o644),
        (0o600, 0o755, 0o700),
        (0o664, 0o644, 0o664),
        (0o4755, 0o755, 0o755),
    ],
)
def test_only_the_executable_bit_follows_the_others(present: int, wanted: int, after: int) -> None:
    assert mode_after(present, wanted) == after


async def test_replacing_is_refused_when_the_disk_holds_something_else(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"mine")
    answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert isinstance(answer, ReplaceRefused)
    assert answer.content == b"mine"
    assert answer.stamp is not None
    assert answer.stamp.inode == file.stat().st_ino
    assert file.read_bytes() == b"mine"
    also = await room.ask(ReplaceFile("a.txt", None, b"new", 0o644))
    assert isinstance(also, ReplaceRefused)
    assert also.content == b"mine"
    assert scratch(room) == []


async def test_replacing_is_refused_when_there_is_no_file_any_more(room: Room) -> None:
    gone = ReplaceRefused("a.txt", None, None)
    assert await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644)) == gone
    deep = await room.ask(ReplaceFile("no/such/a.txt", digest(b"old"), b"new", 0o644))
    assert deep == ReplaceRefused("no/such/a.txt", None, None)
    assert not (room.path / "no").exists()


async def test_a_writer_that_held_the_displaced_file_open_is_heard_of(room: Room) -> None:
    file = room.path / "a.txt"
    file.write_bytes(b"old")
    with file.open("ab", buffering=0) as writer:
        await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
        writer.write(b" and more")
        changed = await room.event(DisplacedChanged)
        assert (changed.path, changed.content) == ("a.txt", b"old and more")
        assert changed.stamp is not None
        assert changed.stamp.whole is not True
        writer.write(b", and still more")
        await room.event(DisplacedChanged, lambda event: event.content.endswith(b"still more"))
    assert file.read_bytes() == b"new"


@pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
async def test_a_writer_that_closes_a_displaced_file_is_heard_of_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("peer.edge.displaced.FIRST_LOOK_SECONDS", 3600.0)
    async with Room(tmp_path, watched=True) as room:
        file = tmp_path / "a.txt"
        file.write_bytes(b"old")
        await room.event(FileSeen)
        inode = file.stat().st_ino
        with file.open("r+b", buffering=0) as writer:
            done = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
            assert isinstance(done, FileReplaced)
            assert done.was is not None
            assert (done.was.inode, done.was.whole) == (inode, False)
            writer.write(b"mine")
        changed = await room.event(DisplacedChanged, lambda event: event.content == b"mine")
        assert changed.stamp is not None
        assert (changed.stamp.inode, changed.stamp.whole) == (inode, True)


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
async def test_a_file_that_is_open_for_writing_is_not_whole(room: Room) -> None:
    file = room.path / "a.txt"
    with file.open("wb", buffering=0) as writer:
        writer.write(b"half")
        seen = await room.ask(ReadFile("a.txt"))
        assert isinstance(seen, FileSeen)
        assert seen.stamp.whole is False
    seen = await room.ask(ReadFile("a.txt"))
    assert isinstance(seen, FileSeen)
    assert seen.stamp.whole is True


async def test_a_displaced_file_that_nobody_holds_is_removed_soon(room: Room) -> None:
    (room.path / "a.txt").write_bytes(b"old")
    await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert len(scratch(room)) == 1

    def is_clear() -> bool:
        room.folder.submit(ReadFile("a.txt"))  # keeps events, and so this check, coming
        return scratch(room) == []

    await room.until(is_clear)


async def test_a_writer_that_goes_on_when_weft_ends_is_told_of_at_the_next_start(room: Room) -> None:
    (room.path / "a.txt").write_bytes(b"old")
    (room.path / "b.txt").write_bytes(b"untouched")
    with (room.path / "a.txt").open("ab", buffering=0) as writer:
        await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
        await room.ask(ReplaceFile("b.txt", digest(b"untouched"), b"new", 0o644))
        await room.folder.close()
        writer.write(b" and more")
    assert len(scratch(room)) == 1
    async with Room(room.path) as next_run:
        (trouble,) = [event for event in await next_run.scan() if isinstance(event, FileTrouble)]
        assert trouble.path == "a.txt"
        assert (room.path / trouble.reason.split()[-1]).read_bytes() == b"old and more"
    assert scratch(room) == []


async def test_a_run_that_is_killed_after_the_exchange_leaves_only_news_to_be_reported(
    tmp_path: Path,
) -> None:
    """What the core expected to displace must not come back as if somebody had saved it."""

    class SaveJustBefore(PlainRenames):
        kernel = best_renames()

        def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
            if (tmp_path / their_name).read_bytes() == b"old" and their_name != "expected":
                (tmp_path / their_name).write_bytes(b"saved in between")
            return self.kernel.exchange(ours, our_name, theirs, their_name, aside)

    async with Room(tmp_path, renames=SaveJustBefore()) as room:
        for name in ("expected", "slipped", "slipped and merged"):
            (tmp_path / name).write_bytes(b"old")
            await room.ask(ReplaceFile(name, digest(b"old"), b"new", 0o644))
        await room.ask(ReplaceFile("slipped and merged", digest(b"new"), b"merged", 0o644))
        async with Room(tmp_path) as next_run:
            told = [event for event in await next_run.scan() if not isinstance(event, FileSeen)]
            assert told == [DisplacedChanged("slipped", b"saved in between")]


async def test_a_save_between_the_last_look_and_the_exchange_is_reported_as_displaced(tmp_path: Path) -> None:
    class SaveJustBefore(PlainRenames):
        kernel = best_renames()

        def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
            (tmp_path / "a.txt").write_bytes(b"saved in between")
            return self.kernel.exchange(ours, our_name, theirs, their_name, aside)

    async with Room(tmp_path, renames=SaveJustBefore()) as room:
        (tmp_path / "a.txt").write_bytes(b"old")
        answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
        assert isinstance(answer, FileReplaced)
        assert answer.displaced == b"saved in between"


async def test_a_save_while_the_name_is_free_stays_and_is_reported(tmp_path: Path) -> None:
    class SaveInTheWindow(PlainRenames):
        def move(self, source: int, name: str, target: int, new_name: str) -> None:
            if not (tmp_path / "a.txt").exists():
                (tmp_path / "a.txt").write_bytes(b"saved in the window")
            super().move(source, name, target, new_name)

    async with Room(tmp_path, renames=SaveInTheWindow()) as room:
        (tmp_path / "a.txt").write_bytes(b"old")
        answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
        assert isinstance(answer, ReplaceRefused)
        assert answer.content == b"saved in the window"
        assert (tmp_path / "a.txt").read_bytes() == b"saved in the window"
        created = await room.ask(ReplaceFile("b.txt", None, b"new", 0o644))
        assert isinstance(created, FileReplaced)


async def test_a_file_that_appears_while_ours_is_made_stays(tmp_path: Path, renames: Renames) -> None:
    class AppearJustBefore(PlainRenames):
        def move(self, source: int, name: str, target: int, new_name: str) -> None:
            (tmp_path / "a.txt").write_bytes(b"theirs")
            renames.move(source, name, target, new_name)

    async with Room(tmp_path, renames=AppearJustBefore()) as room:
        answer = await room.ask(ReplaceFile("a.txt", None, b"ours", 0o644))
        assert isinstance(answer, ReplaceRefused)
        assert answer.content == b"theirs"
        assert (tmp_path / "a.txt").read_bytes() == b"theirs"
        assert scratch(room) == []


async def test_a_link_that_takes_the_name_in_the_last_moment_is_put_back(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret")
    inside = tmp_path / "inside"
    inside.mkdir()

    class LinkJustBefore(PlainRenames):
        kernel = best_renames()
        is_done = False

        def exchange(self, ours: int, our_name: str, theirs: int, their_name: str, aside: str) -> bool:
            if not self.is_done:
                self.is_done = True
                (inside / "a.txt").unlink()
                (inside / "a.txt").symlink_to(outside)
            return self.kernel.exchange(ours, our_name, theirs, their_name, aside)

    async with Room(inside, renames=LinkJustBefore()) as room:
        (inside / "a.txt").write_bytes(b"old")
        answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
        assert isinstance(answer, FileTrouble)
        assert (inside / "a.txt").is_symlink()
        assert outside.read_bytes() == b"secret"


async def test_a_removed_file_is_kept_in_the_trash(room: Room) -> None:
    (room.path / "one/two").mkdir(parents=True)
    (room.path / "one/b.txt").write_bytes(b"stays")
    (room.path / "one/two/a.txt").write_bytes(b"old")
    assert await room.ask(RemoveFile("one/two/a.txt", digest(b"old"))) == FileRemoved("one/two/a.txt")
    assert trash(room) == [b"old"]
    assert sorted(os.listdir(room.path / "one")) == ["b.txt"]
    assert scratch(room) == []
    name = os.listdir(room.path / ".weft/trash")[0]
    assert name.endswith("-one%2Ftwo%2Fa.txt")


async def test_removing_is_refused_when_the_disk_holds_something_else(room: Room) -> None:
    assert await room.ask(RemoveFile("a.txt", digest(b"old"))) == ReplaceRefused("a.txt", None, None)
    assert await room.ask(RemoveFile("no/a.txt", digest(b"old"))) == ReplaceRefused("no/a.txt", None, None)
    (room.path / "a.txt").write_bytes(b"mine")
    answer = await room.ask(RemoveFile("a.txt", digest(b"old")))
    assert isinstance(answer, ReplaceRefused)
    assert answer.content == b"mine"
    assert (room.path / "a.txt").read_bytes() == b"mine"


async def test_a_writer_of_a_removed_file_is_heard_of(room: Room) -> None:
    (room.path / "a.txt").write_bytes(b"old")
    with (room.path / "a.txt").open("ab", buffering=0) as writer:
        await room.ask(RemoveFile("a.txt", digest(b"old")))
        writer.write(b" and more")
        changed = await room.event(DisplacedChanged)
        assert (changed.path, changed.content) == ("a.txt", b"old and more")
    assert trash(room) == [b"old and more"]


async def test_a_file_is_moved_with_new_directories_made_and_empty_ones_removed(room: Room) -> None:
    (room.path / "old").mkdir()
    (room.path / "old/a.txt").write_bytes(b"text")
    answer = await room.ask(MoveFile("old/a.txt", "new/deep/b.txt", digest(b"text")))
    assert isinstance(answer, FileMoved)
    assert answer.stamp.inode == (room.path / "new/deep/b.txt").stat().st_ino
    assert (room.path / "new/deep/b.txt").read_bytes() == b"text"
    assert not (room.path / "old").exists()


async def test_moving_is_refused_over_a_file_and_without_the_expected_one(room: Room) -> None:
    (room.path / "a.txt").write_bytes(b"a")
    (room.path / "b.txt").write_bytes(b"b")
    over = await room.ask(MoveFile("a.txt", "b.txt", digest(b"a")))
    assert isinstance(over, ReplaceRefused)
    assert (over.path, over.content) == ("b.txt", b"b")
    other = await room.ask(MoveFile("a.txt", "c.txt", digest(b"x")))
    assert isinstance(other, ReplaceRefused)
    assert (other.path, other.content) == ("a.txt", b"a")
    absent = await room.ask(MoveFile("x.txt", "c.txt", digest(b"x")))
    assert absent == ReplaceRefused("x.txt", None, None)
    assert (room.path / "a.txt").read_bytes() == b"a"
    assert (room.path / "b.txt").read_bytes() == b"b"


async def test_a_save_in_the_last_moment_is_given_back_when_removing_or_moving(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    writer = file.open("wb", buffering=0)
    writer.write(b"old")

    class WriteAfterTheMove(PlainRenames):
        def move(self, source: int, name: str, target: int, new_name: str) -> None:
            super().move(source, name, target, new_name)
            if new_name == "b.txt":
                writer.write(b" and more")

    async with Room(tmp_path, renames=WriteAfterTheMove()) as room:
        answer = await room.ask(MoveFile("a.txt", "b.txt", digest(b"old")))
        assert isinstance(answer, ReplaceRefused)
        assert (answer.path, answer.content) == ("a.txt", b"old and more")
        assert file.read_bytes() == b"old and more"
    writer.close()


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "hard link", "read-only"])
async def test_what_is_in_the_way_is_reported_and_left_alone(room: Room, kind: str) -> None:
    target = room.path / "a.txt"
    other = room.path / "other"
    other.write_bytes(b"old")
    match kind:
        case "directory":
            target.mkdir()
        case "link":
            target.symlink_to(other)
        case "pipe":
            os.mkfifo(target)
        case "hard link":
            target.hardlink_to(other)
        case _:
            target.write_bytes(b"old")
            target.chmod(0o444)
    before = target.lstat()
    answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"new", 0o644))
    assert isinstance(answer, FileTrouble)
    assert answer.path == "a.txt"
    assert len(answer.reason) > 20
    assert target.lstat().st_ino == before.st_ino
    assert other.read_bytes() == b"old"
    assert scratch(room) == []


async def test_a_file_where_a_directory_is_needed_is_reported(room: Room) -> None:
    (room.path / "d").write_bytes(b"a file")
    answer = await room.ask(ReplaceFile("d/a.txt", None, b"new", 0o644))
    assert answer == FileTrouble("d/a.txt", "a file is in the way where a directory is needed")
    (room.path / "a.txt").write_bytes(b"a")
    moved = await room.ask(MoveFile("a.txt", "d/a.txt", digest(b"a")))
    assert moved == FileTrouble("a.txt", "a file is in the way where a directory is needed")


async def test_a_full_disk_is_reported_and_leaves_nothing_behind(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource
    import signal

    (room.path / "a.txt").write_bytes(b"old")
    # The nearest to a full disk that needs no mount: the largest file this process may write.
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        answer = await room.ask(ReplaceFile("a.txt", digest(b"old"), b"x" * 200_000, 0o644))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert isinstance(answer, FileTrouble)
    assert scratch(room) == []
    assert (room.path / "a.txt").read_bytes() == b"old"


async def test_drafts_lie_beside_their_target_where_it_is_on_another_disk(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peer.edge.scratch import Scratch

    monkeypatch.setattr(Scratch, "is_elsewhere", lambda self, directory: True)
    (room.path / "d").mkdir()
    (room.path / "d/a.txt").write_bytes(b"old")
    answer = await room.ask(ReplaceFile("d/a.txt", digest(b"old"), b"new", 0o644))
    assert isinstance(answer, FileReplaced)
    assert answer.displaced == b"old"
    beside = [name for name in os.listdir(room.path / "d") if name != "a.txt"]
    assert len(beside) == 1
    assert beside[0].startswith(".weft-tmp-seen-")
    assert scratch(room) == []
    assert [event.path for event in await room.scan() if isinstance(event, FileSeen)] == ["d/a.txt"]
    removed = await room.ask(RemoveFile("d/a.txt", digest(b"new")))
    assert removed == FileRemoved("d/a.txt")


async def test_the_private_directory_is_for_its_owner_only(room: Room) -> None:
    for name in (".weft", ".weft/tmp", ".weft/trash"):
        assert stat.S_IMODE((room.path / name).stat().st_mode) == 0o700


async def test_too_much_that_waits_is_answered_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peer.edge.folder.QUEUE_BYTES_LIMIT", 1000)
    actions: list[FileAction] = [ReplaceFile(f"{i}.txt", None, b"x" * 600, 0o644) for i in range(50)]
    for action in actions:
        room.folder.submit(action)
    await room.until(lambda: len(room.events) == 50)
    replaced = [event for event in room.events if isinstance(event, FileReplaced)]
    troubled = [event for event in room.events if isinstance(event, FileTrouble)]
    assert len(replaced) + len(troubled) == 50
    assert troubled
    assert all("too slow" in event.reason for event in troubled)


async def test_a_closed_folder_takes_no_orders(room: Room) -> None:
    await room.close()
    await room.close()
    with pytest.raises(UsageError):
        room.folder.submit(ReadFile("a.txt"))
