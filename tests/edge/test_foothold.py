"""What a session that came to nothing leaves on this machine: nothing but what people put there."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import peer
from peer.edge import registry
from peer.edge.database import take_lock
from peer.edge.foothold import Foothold
from peer.errors import ServerUnreachable
from signaling.server import RoomServer
from signaling.settings import Settings
from tests.test_api import nobody_listens


@pytest.fixture
async def server() -> AsyncIterator[str]:
    async with RoomServer(Settings(port=0)) as running:
        yield f"http://127.0.0.1:{running.port}"


@pytest.fixture
async def link(server: str) -> str:
    """Of a session in which nobody is."""
    async with peer.share(server=server, name="anna", lan=False) as anna:
        return anna.link


def replicas() -> list[Path]:
    return sorted((Path(os.environ["WEFT_DATA_DIR"]) / "replicas").glob("*"))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def look_in(link: str, folder: Path) -> None:
    """Join, meet nobody, leave."""
    async with peer.join(link, folder, name="ben", lan=False) as ben:
        assert (folder / registry.MARKER).exists()
        await ben.leave()


async def test_who_joins_and_meets_nobody_leaves_nothing_behind(link: str, tmp_path: Path) -> None:
    await look_in(link, tmp_path / "made" / "by" / "weft")
    assert names(tmp_path) == []
    assert replicas() == []


async def test_a_folder_that_was_there_stays(link: str, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    await look_in(link, folder)
    assert names(folder) == []


async def test_a_server_that_is_not_reached_leaves_nothing_behind(tmp_path: Path) -> None:
    async with (
        RoomServer(Settings(port=0)) as running,
        peer.share(server=f"http://127.0.0.1:{running.port}", name="anna", lan=False) as anna,
    ):
        link = anna.link
    with pytest.raises(ServerUnreachable):
        async with peer.join(link, tmp_path / "notes", lan=False):
            pass
    assert names(tmp_path) == []
    assert replicas() == []


async def test_who_is_interrupted_while_joining_leaves_nothing_behind(link: str, tmp_path: Path) -> None:
    async def joining() -> None:
        async with peer.join(link, tmp_path / "notes", lan=False):
            await asyncio.Event().wait()

    task = asyncio.create_task(joining())
    while not (tmp_path / "notes" / registry.MARKER).exists():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert names(tmp_path) == []


async def test_what_a_person_wrote_meanwhile_is_kept_and_can_be_gone_on_with(
    link: str, server: str, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    async with peer.join(link, folder, name="ben", lan=False) as ben:
        (folder / "mine.md").write_text("mine")
        while not ben.texts():
            await asyncio.sleep(0.005)
    async with peer.join(folder, lan=False) as again:
        assert again.resumed
        assert str(again.text("mine.md")) == "mine"


async def test_a_file_that_was_not_even_noticed_is_kept(link: str, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    async with peer.join(link, folder, name="ben", lan=False) as ben:
        await ben.leave()
        assert not folder.exists()
    foothold = Foothold.look(folder)
    replica = registry.create(folder, b"\1" * 32)
    (folder / "late.md").write_text("late")
    (folder / ".weft" / "note").write_text("mine too")
    foothold.take_back(replica)
    assert everything(folder) == {"late.md": b"late", ".weft/note": b"mine too"}


async def test_who_met_somebody_can_go_on(server: str, tmp_path: Path) -> None:
    async with (
        peer.share(server=server, name="anna", lan=False) as anna,
        peer.join(anna.link, tmp_path / "notes", name="ben", lan=False) as ben,
    ):
        await ben.synced()
    async with peer.join(tmp_path / "notes", lan=False) as again:
        assert again.resumed


async def test_who_shared_an_empty_folder_can_go_on_for_somebody_may_have_the_link(
    server: str, tmp_path: Path
) -> None:
    async with peer.share(tmp_path, server=server, lan=False) as anna:
        link = anna.link
    async with peer.share(tmp_path, lan=False) as again:
        assert again.link == link


async def test_a_share_that_did_not_come_about_leaves_only_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("one")
    with pytest.raises(ServerUnreachable):
        async with peer.share(tmp_path, server=nobody_listens(), lan=False):
            pass
    assert names(tmp_path) == ["a.md"]
    assert replicas() == []


def test_the_mark_of_another_session_comes_back(tmp_path: Path) -> None:
    registry.create(tmp_path, b"\1" * 32)
    before = everything(tmp_path), everything(Path(os.environ["WEFT_DATA_DIR"]))
    foothold = Foothold.look(tmp_path)
    foothold.take_back(registry.create(tmp_path, b"\2" * 32))
    assert (everything(tmp_path), everything(Path(os.environ["WEFT_DATA_DIR"]))) == before


def test_what_somebody_goes_on_with_already_is_left_alone(tmp_path: Path) -> None:
    foothold = Foothold.look(tmp_path)
    replica = registry.create(tmp_path, b"\1" * 32)
    lock = take_lock(replica.database)
    try:
        foothold.take_back(replica)
    finally:
        os.close(lock)
    assert registry.find(tmp_path) is None or replica.database.parent.exists()
    assert (tmp_path / registry.MARKER).exists()


def test_the_mark_of_a_session_that_somebody_began_there_meanwhile_stays(tmp_path: Path) -> None:
    foothold = Foothold.look(tmp_path)
    came_to_nothing = registry.create(tmp_path, b"\1" * 32)
    (tmp_path / registry.MARKER).unlink()
    registry.create(tmp_path, b"\2" * 32)
    before = everything(tmp_path)
    foothold.take_back(came_to_nothing)
    assert everything(tmp_path) == before


def test_a_link_that_took_the_folders_place_leads_to_nothing_that_is_removed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    registry.create(other, b"\2" * 32)
    before = everything(other)
    foothold = Foothold.look(tmp_path / "notes")
    came_to_nothing = registry.create(tmp_path / "notes", b"\1" * 32)
    (tmp_path / "notes").rename(tmp_path / "aside")
    (tmp_path / "notes").symlink_to(other)
    foothold.take_back(came_to_nothing)
    assert everything(other) == before


def test_what_a_person_wrote_in_place_of_our_own_is_kept(tmp_path: Path) -> None:
    foothold = Foothold.look(tmp_path)
    replica = registry.create(tmp_path, b"\1" * 32)
    (tmp_path / ".weft" / ".gitignore").write_text("tmp\n")
    foothold.take_back(replica)
    assert everything(tmp_path) == {".weft/.gitignore": b"tmp\n"}


def test_a_persons_link_is_not_taken_for_what_weft_made(tmp_path: Path) -> None:
    private = tmp_path / ".weft"
    private.mkdir()
    (private / ".gitignore").symlink_to(tmp_path / "nothing there")
    foothold = Foothold.look(tmp_path)
    foothold.take_back(registry.create(tmp_path, b"\1" * 32))
    assert (private / ".gitignore").is_symlink()


def test_the_note_of_an_earlier_session_that_went_to_another_folder_meanwhile_stays(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    earlier = registry.create(here, b"\1" * 32)
    earlier.database.touch()
    (here / ".weft").rename(tmp_path / "mark")
    foothold = Foothold.look(here)
    came_to_nothing = registry.create(here, b"\2" * 32)
    there.mkdir()
    (tmp_path / "mark").rename(there / ".weft")
    registry.find(there)
    note = (earlier.database.parent / "place.json").read_bytes()
    assert str(there).encode() in note
    foothold.take_back(came_to_nothing)
    assert (earlier.database.parent / "place.json").read_bytes() == note
