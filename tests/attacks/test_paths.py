import os
import random
import sys
import threading
import time
from pathlib import Path

import pytest

from peer.core.actions import FileAction, MoveFile, ReadFile, RemoveFile, ReplaceFile
from peer.core.events import FileTrouble
from peer.core.paths import check_path
from peer.edge.exchange import KernelRenames, PlainRenames, best_renames
from peer.edge.ignore import Ignores
from peer.errors import Refused
from tests.edge.folders import Room, content_of, digest

GIT_IN_DISGUISE = [
    ".git/hooks/post-checkout",
    ".GIT/config",
    "sub/.Git/hooks/pre-commit",
    "git~1/config",
    "GIT~1/config",
    "Git~2/config",
    ".git./config",
    ".git /config",
    ".git. . ./config",
    ".git::$INDEX_ALLOCATION/config",
    ".git:stream",
    ".git\\hooks\\x",
    ".g\u200cit/config",
    ".gi\u200dt/config",
    "\ufeff.git/config",
    ".git\u200e/config",
    ".\u202agit/config",
    ".g\u206ait",
    "\uff0e\uff47\uff49\uff54/config",
    ".weft/session",
    ".WEFT/trash/x",
    "weft~1/tmp",
    "a/b/.weft/tmp/x",
    ".we\u200cft",
    ".weft-tmp-back-00000000-a",
]

OUT_OF_THE_FOLDER = [
    "../x",
    "a/../../x",
    "..",
    "/tmp/x",
    "//x",
    "C:\\x",
    "\\\\server\\x",
    "a\\..\\..\\x",
    "..\\x",
    "./x",
    "a/./x",
    "a\0/../x",
    "",
    "/",
]


def tree(top: Path) -> list[str]:
    return sorted(str(file) for file in top.rglob("*"))


@pytest.mark.parametrize("path", GIT_IN_DISGUISE + OUT_OF_THE_FOLDER)
def test_a_name_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(Refused):
        check_path(path)


@pytest.mark.parametrize("path", GIT_IN_DISGUISE + OUT_OF_THE_FOLDER)
async def test_an_action_on_such_a_name_touches_nothing(tmp_path: Path, path: str) -> None:
    shared = tmp_path / "outer" / "shared"
    shared.mkdir(parents=True)
    (shared / "a").write_bytes(b"a")
    (tmp_path / "outer" / "x").write_bytes(b"secret")
    async with Room(shared) as room:
        before = tree(tmp_path)
        actions: list[FileAction] = [
            ReadFile(path),
            ReplaceFile(path, None, b"planted", 0o755),
            ReplaceFile(path, digest(b"secret"), b"planted", 0o755),
            RemoveFile(path, digest(b"secret")),
            MoveFile(path, "b", digest(b"secret")),
            MoveFile("a", path, digest(b"a")),
        ]
        for action in actions:
            said = await room.answers(action)
            assert [type(event) for event in said] == [FileTrouble], (action, said)
        assert tree(tmp_path) == before
        assert (tmp_path / "outer" / "x").read_bytes() == b"secret"


@pytest.mark.parametrize("depth", [1, 2, 3])
async def test_nothing_is_read_or_written_behind_a_link(tmp_path: Path, depth: int) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    shared = tmp_path / "shared"
    inner = shared.joinpath(*"d" * (depth - 1))
    inner.mkdir(parents=True)
    (inner / "link").symlink_to(outside)
    (inner / "a").symlink_to(outside / "a")
    (shared / "own").write_bytes(b"own")
    prefix = "d/" * (depth - 1)
    async with Room(shared) as room:
        for path in (f"{prefix}link/a", f"{prefix}a", f"{prefix}link/new/b"):
            actions: list[FileAction] = [
                ReadFile(path),
                ReplaceFile(path, None, b"planted", 0o644),
                ReplaceFile(path, digest(b"secret"), b"planted", 0o644),
                RemoveFile(path, digest(b"secret")),
                MoveFile("own", path, digest(b"own")),
            ]
            for action in actions:
                said = await room.answers(action)
                assert all(isinstance(event, FileTrouble) or content_of(event) is None for event in said)
        assert b"secret" not in [content_of(event) for event in await room.scan()]
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"a": b"secret"}
    assert (shared / "own").read_bytes() == b"own"


@pytest.mark.skipif(sys.platform != "linux", reason="needs a swap that is over in one step")
@pytest.mark.parametrize("plain", [False, True])
async def test_a_directory_that_turns_into_a_link_and_back_never_leads_out(
    tmp_path: Path, plain: bool
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_bytes(b"secret")
    shared = tmp_path / "shared"
    (shared / "d").mkdir(parents=True)
    (shared / "d" / "keep").write_bytes(b"so that the directory never becomes empty")
    (tmp_path / "link").symlink_to(outside)
    swap = best_renames()
    assert isinstance(swap, KernelRenames)
    stopped = threading.Event()

    def flip() -> None:
        ours = os.open(shared, os.O_RDONLY)
        theirs = os.open(tmp_path, os.O_RDONLY)
        while not stopped.is_set():
            swap.exchange(ours, "d", theirs, "link", "unused")
        os.close(ours)
        os.close(theirs)

    chance = random.Random(7)
    async with Room(shared, renames=PlainRenames() if plain else None) as room:
        attacker = threading.Thread(target=flip)
        attacker.start()
        try:
            end = time.monotonic() + 1.0
            inside = 0
            while time.monotonic() < end:
                actions: list[FileAction] = [
                    ReplaceFile(
                        "d/a", chance.choice([None, digest(b"planted"), digest(b"secret")]), b"planted", 0o644
                    ),
                    RemoveFile("d/a", chance.choice([digest(b"planted"), digest(b"secret")])),
                    MoveFile("d/a", "d/b", digest(b"secret")),
                    ReadFile("d/a"),
                ]
                said = await room.answers(chance.choice(actions))
                inside += any(content_of(event) == b"planted" for event in said)
                assert b"secret" not in [content_of(event) for event in said]
        finally:
            stopped.set()
            attacker.join()
    assert inside, "the race was never run: no action reached the directory"
    assert {file.name: file.read_bytes() for file in outside.iterdir()} == {"a": b"secret"}


def test_an_ignore_file_made_to_take_for_ever_does_not() -> None:
    rules = "\n".join("*a" * n + "*b" for n in range(1, 60)) + "\n" + "**/a/" * 30 + "b\n!" + "?*" * 40 + "z"
    ignores = Ignores(lambda path: rules.encode() if path == ".gitignore" else None)
    begin = time.perf_counter()
    assert not ignores.is_ignored("a" * 255)
    assert not ignores.is_ignored("/".join(["a" * 15] * 60))
    assert time.perf_counter() - begin < 2.0


def test_a_peer_cannot_have_a_private_file_shared_by_changing_the_rules() -> None:
    files = {".gitignore": b"secret*\n"}
    ignores = Ignores(files.get)
    assert ignores.is_ignored("secret.txt")
    files[".gitignore"] = b"*.log\n!secret*\n"
    ignores.note_change_by_peer()
    assert ignores.is_ignored("secret.txt")
    assert ignores.is_ignored("new.log")
    ignores.note_change_here()
    assert not ignores.is_ignored("secret.txt")
    assert ignores.is_ignored("new.log")
