"""What joining into a folder would mix with, found out without touching it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import peer
from peer.edge import preview
from peer.edge.preview import check_empty
from peer.edge.safe_paths import Found
from peer.errors import StorageError, UsageError, WouldOverwrite
from signaling.server import RoomServer
from signaling.settings import Settings


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with RoomServer(Settings(port=0)) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture
async def anna(server: str, tmp_path: Path) -> AsyncIterator[peer.Session]:
    """Somebody who shares three files."""
    theirs = fill(tmp_path / "theirs", {"a.md": "one\n", "sub/é.md": "zwei\r\n", "c.bin": "\x00\x01"})
    async with peer.share(theirs, server=server, name="anna") as session:
        assert session.files == 3
        yield session


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


def fill(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(text.encode())
    return folder


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything that is in a folder, with what tells whether it was touched."""
    if not folder.exists():
        return {}
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


async def differing(link: str, folder: Path) -> list[str]:
    """The lines of the refusal, after making sure that nothing was touched."""
    before = snapshot(folder)
    with pytest.raises(WouldOverwrite) as caught:
        await check_empty(link, folder, server=None, name=None)
    assert snapshot(folder) == before
    assert str(folder) in str(caught.value)
    return caught.value.differing


async def is_fine(link: str, folder: Path) -> None:
    before = snapshot(folder)
    await check_empty(link, folder, server=None, name=None)
    assert snapshot(folder) == before


async def test_a_folder_that_is_not_there_is_fine_and_is_not_made(anna: peer.Session, mine: Path) -> None:
    await is_fine(anna.link, mine)
    assert snapshot(mine) == {}


async def test_an_empty_folder_is_fine(anna: peer.Session, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    await is_fine(anna.link, tmp_path / "mine")
    (tmp_path / "mine" / "empty").mkdir()
    await is_fine(anna.link, tmp_path / "mine")


async def test_a_folder_with_the_sessions_own_files_is_fine(anna: peer.Session, mine: Path) -> None:
    fill(mine, {"a.md": "one\n", "sub/é.md": "zwei\r\n", "c.bin": "\x00\x01"})
    await is_fine(anna.link, mine)


async def test_somebody_who_knows_nothing_either_is_not_believed(
    server: str, mine: Path, tmp_path: Path
) -> None:
    """Another newcomer has told all that it knows when it has told nothing."""
    theirs = fill(tmp_path / "theirs", {"a.md": "one\n"})
    async with peer.share(theirs, server=server, name="anna") as anna:
        link = anna.link
    async with peer.join(link, name="eva") as eva, asyncio.TaskGroup() as tasks:
        tasks.create_task(is_fine(link, fill(mine, {"a.md": "one\n"})))
        async with asyncio.timeout(10.0):
            while not eva.peers:
                await asyncio.sleep(0.003)
        tasks.create_task(_share_until_seen(theirs, server, eva))


async def _share_until_seen(folder: Path, server: str, by: peer.Session) -> None:
    async with peer.share(folder, server=server, name="anna"), asyncio.timeout(10.0):
        while not by.texts():
            await asyncio.sleep(0.003)
        while len(by.peers) > 1:
            await asyncio.sleep(0.003)


async def test_some_of_the_sessions_own_files_are_fine_too(anna: peer.Session, mine: Path) -> None:
    await is_fine(anna.link, fill(mine, {"a.md": "one\n"}))


async def test_what_differs_and_what_is_only_here_is_listed(anna: peer.Session, mine: Path) -> None:
    fill(mine, {"a.md": "one and more\n", "sub/é.md": "zwei\n", "c.bin": "\x00\x02", "z/mine.md": "mine"})
    assert await differing(anna.link, mine) == [
        "a.md: differs",
        "c.bin: differs",
        "sub/é.md: differs",
        "z/mine.md: only here",
    ]


async def test_what_is_not_shared_does_not_count(anna: peer.Session, mine: Path) -> None:
    fill(mine, {"a.md": "one\n", ".git/HEAD": "ref", "built/x.o": "\x00", ".gitignore": "built/\n"})
    (mine / "link").symlink_to("/etc/passwd")
    assert await differing(anna.link, mine) == [".gitignore: only here"]


async def test_a_long_list_is_cut(anna: peer.Session, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "LISTED", 3)
    fill(mine, {f"{number}.txt": "mine" for number in range(10)})
    lines = await differing(anna.link, mine)
    assert lines == ["0.txt: only here", "1.txt: only here", "2.txt: only here", "and 7 more"]


async def test_a_file_that_cannot_be_read_counts_as_different(
    anna: peer.Session, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: int, name: str, limit: int) -> Found:
        raise PermissionError(name)

    monkeypatch.setattr(preview, "read_file", refuse)
    assert await differing(anna.link, fill(mine, {"a.md": "one\n"})) == ["a.md: differs"]


async def test_a_file_that_is_too_large_to_be_shared_counts_as_different(
    anna: peer.Session, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "BLOB_LIMIT", 3)
    assert await differing(anna.link, fill(mine, {"a.md": "one\n"})) == ["a.md: differs"]


async def test_where_no_server_is_reached_everything_is_listed(mine: Path) -> None:
    async with RoomServer(Settings(port=0)) as gone, peer.share(server=gone.url) as anna:
        link = anna.link
    assert await differing(link, fill(mine, {"a.md": "one\n"})) == [
        "a.md: perhaps only here (nobody of the session answered)"
    ]


async def test_where_nobody_is_in_everything_is_listed(
    server: str, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "PREVIEW_SECONDS", 0.2)
    async with peer.share(server=server) as gone:
        link = gone.link
    assert await differing(link, fill(mine, {"a.md": "one\n"})) == [
        "a.md: perhaps only here (nobody of the session answered)"
    ]


async def test_a_folder_that_is_in_a_session_already_is_left_to_whoever_opens_it(
    anna: peer.Session, server: str, mine: Path
) -> None:
    fill(mine, {"other.md": "mine"})
    async with peer.share(mine, server=server):
        pass
    await is_fine(anna.link, mine)
    with pytest.raises(UsageError, match="another session"):
        async with peer.join(anna.link, mine):
            raise AssertionError("that folder belongs to another session")


async def test_a_link_that_cannot_be_used_is_said_to_be_so(mine: Path) -> None:
    fill(mine, {"a.md": "one\n"})
    with pytest.raises(UsageError):
        await check_empty("weft:rubbish", mine, server=None, name=None)


async def test_a_file_where_the_folder_should_be_is_an_error(anna: peer.Session, mine: Path) -> None:
    fill(mine.parent, {"mine": "a file"})
    with pytest.raises(StorageError, match="a file is in the way"):
        await check_empty(anna.link, mine, server=None, name=None)
