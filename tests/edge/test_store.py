"""The store on a real disk: what was committed is there, whatever happened in between."""

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peer.core.actions import SaveShadow
from peer.core.ids import DocId
from peer.edge.database import AlreadyRunning, NewerFormat, known_paths, peek_meta
from peer.edge.store import (
    COMPACT_BYTES,
    COMPACT_ROWS,
    OLDER_SHADOW_BYTES,
    OLDER_SHADOWS,
    PENDING_BYTES,
    Store,
)
from peer.errors import StorageError

DOC, OTHER = DocId(b"document"), DocId(b"another1")
ME, BEN = b"m" * 32, b"b" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replicas" / "x" / "session.db"


def reopened(store: Store, path: Path) -> Store:
    store.close()
    return Store.open(path)


def shadow(text: str, *, intent: bool = False, path: str = "a.md", inode: int = 1) -> SaveShadow:
    return SaveShadow(DOC, path, text.encode(), False, intent, inode, 5)


def texts(store: Store) -> list[tuple[str, bool]]:
    return [(each.content.decode(), each.intent) for each in store.shadows()]


# --- the log ----------------------------------------------------------------------------------------


def test_updates_come_back_in_order_with_time_and_author(path: Path) -> None:
    store = Store.open(path)
    for number in range(700):
        store.append(DOC, b"update %d" % number, ME if number % 2 else BEN, 1000.5 + number)
    store.append(OTHER, b"x", ME, 1.0)
    store.commit()
    store = reopened(store, path)
    assert store.updates(DOC) == [b"update %d" % number for number in range(700)]
    rows = list(store.log(DOC))
    assert [row[1:] for row in rows[:2]] == [(1000.5, BEN, b"update 0"), (1001.5, ME, b"update 1")]
    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    assert sorted(store.documents()) == sorted([DOC, OTHER])
    store.close()


def test_a_snapshot_stands_in_front_of_what_came_after_it(path: Path) -> None:
    store = Store.open(path)
    store.append(DOC, b"old", ME, 1.0)
    store.snapshot(DOC, b"state")
    store.append(DOC, b"new", ME, 2.0)
    store.commit()
    store = reopened(store, path)
    assert store.updates(DOC) == [b"state", b"new"]
    assert [row[3] for row in store.log(DOC)] == [b"new"]
    store.snapshot(DOC, b"state 2")
    store = reopened(store, path)
    assert store.updates(DOC) == [b"state 2"]
    assert store.documents() == [DOC]
    store.close()


def test_a_snapshot_is_due_after_many_updates_or_many_bytes_and_then_no_more(path: Path) -> None:
    store = Store.open(path)
    for _ in range(COMPACT_ROWS - 1):
        store.append(DOC, b"x", ME, 1.0)
    assert not store.should_compact(DOC)
    store.append(DOC, b"x", ME, 1.0)
    assert store.should_compact(DOC)
    store = reopened(store, path)
    assert store.should_compact(DOC)
    store.snapshot(DOC, b"s" * 2 * COMPACT_BYTES)
    assert not store.should_compact(DOC)
    store.append(DOC, b"x" * COMPACT_BYTES, ME, 1.0)
    store = reopened(store, path)
    assert not store.should_compact(DOC)  # less than the snapshot itself
    store.append(DOC, b"x" * COMPACT_BYTES, ME, 1.0)
    assert store.should_compact(DOC)
    assert not store.should_compact(OTHER)
    store.close()


def test_files_are_private(path: Path) -> None:
    store = Store.open(path)
    store.append(DOC, b"x", ME, 1.0)
    store.commit()
    names = {each.name for each in path.parent.iterdir()}
    assert names == {"session.db", "session.db-wal", "session.db-shm", "session.db.lock"}
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


def test_named_values_are_kept_and_replaced(path: Path) -> None:
    store = Store.open(path)
    assert store.get_meta("key") is None
    store.set_meta("key", b"one")
    store.set_meta("key", b"two")
    assert store.get_meta("key") == b"two"
    store = reopened(store, path)
    assert store.get_meta("key") == b"two"
    assert peek_meta(path, "key") == b"two"  # without the lock, while it is open
    assert peek_meta(path, "other") is None
    assert peek_meta(path.with_name("nothing"), "key") is None
    store.close()


# --- shadows ----------------------------------------------------------------------------------------


def test_shadows_come_by_age_and_a_later_intent_last(path: Path) -> None:
    store = Store.open(path)
    for text in "abc":
        store.save_shadow(shadow(text))
    store.save_shadow(shadow("d", intent=True))
    assert texts(store) == [("a", False), ("b", False), ("c", False), ("d", True)]
    store = reopened(store, path)
    assert texts(store) == [("a", False), ("b", False), ("c", False), ("d", True)]
    store.close()


def test_a_confirmed_intent_becomes_the_last_shadow(path: Path) -> None:
    store = Store.open(path)
    store.save_shadow(shadow("a"))
    store.save_shadow(shadow("b", intent=True))
    store.save_shadow(shadow("b", inode=7))
    assert texts(store) == [("a", False), ("b", False)]
    assert store.shadows()[-1].stamp_inode == 7
    store.close()


def test_a_touched_file_makes_no_new_shadow(path: Path) -> None:
    store = Store.open(path)
    for inode in range(1, 20):
        store.save_shadow(shadow("same", path=f"{inode}.md", inode=inode))
    assert [(each.path, each.stamp_inode) for each in store.shadows()] == [("19.md", 19)]
    store.close()


def test_an_intent_that_something_followed_may_still_be_what_an_editor_holds(path: Path) -> None:
    store = Store.open(path)
    store.save_shadow(shadow("a"))
    store.save_shadow(shadow("b", intent=True))
    store.save_shadow(shadow("c"))
    assert texts(store) == [("a", False), ("b", False), ("c", False)]
    store.save_shadow(shadow("d", intent=True))
    store.save_shadow(shadow("e", intent=True))
    # The last known content of the disk stays in front of the newest intent.
    assert texts(store) == [("a", False), ("b", False), ("d", False), ("c", False), ("e", True)]
    store.close()


def test_older_shadows_are_bounded_in_number_and_in_bytes(path: Path) -> None:
    store = Store.open(path)
    for number in range(30):
        store.save_shadow(shadow(str(number)))
    kept = [int(text) for text, _ in texts(store)]
    assert kept == list(range(30 - OLDER_SHADOWS - 1, 30))
    large = "x" * (OLDER_SHADOW_BYTES // 2)
    for number in range(4):
        store.save_shadow(shadow(large + str(number)))
    assert len(texts(store)) == 2  # the last, and the one older one that there is room for
    store.save_shadow(shadow("y" * (OLDER_SHADOW_BYTES + 1)))
    assert len(texts(store)) == 2
    store.close()


def test_only_the_forgotten_shadows_go(path: Path) -> None:
    store = Store.open(path)
    store.save_shadow(shadow("a"))
    store.save_shadow(SaveShadow(OTHER, "ü/日.bin", b"\x00digest", True, False, 2**64 - 1, 2**66))
    store.commit()
    assert known_paths(path) == ["a.md", "ü/日.bin"]
    store.forget_shadow(DOC)
    store = reopened(store, path)
    assert store.shadows() == [SaveShadow(OTHER, "ü/日.bin", b"\x00digest", True, False, 2**64 - 1, 2**66)]
    store.close()


# --- blobs ------------------------------------------------------------------------------------------


def test_blobs_are_read_in_parts_and_dropped_when_nothing_refers_to_them(path: Path) -> None:
    store = Store.open(path)
    content = random.Random(1).randbytes(200_000)
    store.save_blob(b"one", content)
    store.save_blob(b"one", b"something else")
    store.save_blob(b"two", b"")
    assert store.load_blob(b"one", 100_000, 10) == (200_000, content[100_000:100_010])
    assert store.load_blob(b"one", 199_995, 10) == (200_000, content[-5:])
    assert store.load_blob(b"one", 300_000, 10) == (200_000, b"")
    assert store.load_blob(b"two", 0, 10) == (0, b"")
    assert store.load_blob(b"three", 0, 10) is None
    assert store.has_blob(b"two")
    store.keep_blobs({b"one"})
    store = reopened(store, path)
    assert store.has_blob(b"one")
    assert not store.has_blob(b"two")
    store.close()


# --- one process, crashes, damage -------------------------------------------------------------------


def test_a_second_store_is_refused_and_told_who_has_it(path: Path) -> None:
    store = Store.open(path)
    with pytest.raises(AlreadyRunning, match=f"already running .process {os.getpid()}") as caught:
        Store.open(path)
    assert caught.value.pid == os.getpid()
    store.close()
    Store.open(path).close()


CRASHING = """
import sys
from dataclasses import replace
from pathlib import Path
from peer.edge.store import Store
store = Store.open(Path(sys.argv[1]))
number = 0
while True:
    store.append(b"document", b"%d" % number, b"m" * 32, 1.0)
    store.append(b"another1", b"%d" % number, b"m" * 32, 1.0)
    store.commit()
    print(number, flush=True)
    number += 1
"""


def test_what_was_committed_survives_kill_and_a_batch_is_there_whole_or_not(path: Path) -> None:
    for round_ in range(3):
        command = [sys.executable, "-c", CRASHING, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = b"".join(process.stdout.readline() for _ in range(20 + 7 * round_))
            process.send_signal(signal.SIGKILL)
            last = int((said + process.stdout.read()).split(b"\n")[-2])
        store = Store.open(path)
        ours = [int(update) for update in store.updates(DOC)]
        theirs = [int(update) for update in store.updates(OTHER)]
        store.close()
        assert ours == theirs
        assert ours[-1] in (last, last + 1)
        assert ours[-ours[-1] - 1 :] == list(range(ours[-1] + 1))


def test_a_damaged_database_is_moved_aside_and_the_next_start_is_fresh(path: Path) -> None:
    store = Store.open(path)
    for _ in range(500):
        store.append(DOC, b"x" * 100, ME, 1.0)
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096:20_480] = random.Random(2).randbytes(16_384)
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="damaged and has been moved to"):
        Store.open(path)
    aside = [each for each in path.parent.iterdir() if "damaged" in each.name]
    assert [each.read_bytes() for each in aside] == [bytes(damaged)]
    store = Store.open(path)
    assert store.documents() == []
    store.close()


def test_something_that_is_no_database_is_moved_aside_too(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is a letter to my aunt" * 100)
    with pytest.raises(StorageError, match="moved to"):
        Store.open(path)
    Store.open(path).close()


def test_a_database_of_a_newer_weft_is_left_alone(path: Path) -> None:
    Store.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    for _ in range(2):
        with pytest.raises(NewerFormat, match="newer"):
            Store.open(path)


def limit_pages(store: Store, pages: int) -> None:
    store._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_is_reported_and_nothing_is_missing_once_there_is_room(path: Path) -> None:
    store = Store.open(path)
    store.append(DOC, b"before", ME, 1.0)
    store.commit()
    limit_pages(store, 30)
    store.append(DOC, b"first" * 50_000, ME, 2.0)
    with pytest.raises(StorageError, match="Free some space"):
        store.commit()
    store.append(DOC, b"second", ME, 3.0)
    store.save_shadow(shadow("text"))
    with pytest.raises(StorageError, match="full"):
        store.commit()
    limit_pages(store, 10_000)
    store.commit()
    store = reopened(store, path)
    assert store.updates(DOC) == [b"before", b"first" * 50_000, b"second"]
    assert texts(store) == [("text", False)]
    store.append(DOC, b"after", ME, 4.0)
    store.commit()
    assert len(store.updates(DOC)) == 4
    store.close()


def test_a_disk_that_stays_full_is_not_held_in_memory_for_ever(path: Path) -> None:
    store = Store.open(path)
    limit_pages(store, 30)
    large = bytes(PENDING_BYTES // 4)
    for _ in range(4):
        store.append(DOC, large, ME, 1.0)
    with pytest.raises(StorageError, match="no more can be held"):
        store.append(DOC, large, ME, 1.0)
    with pytest.raises(StorageError, match="full"):
        store.close()
    Store.open(path).close()


def test_a_place_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        Store.open(tmp_path / "file" / "session.db")


def test_a_mistake_of_the_caller_does_not_poison_the_batch(path: Path) -> None:
    store = Store.open(path)
    store.append(DOC, b"good", ME, 1.0)
    with pytest.raises(UnicodeEncodeError):
        store.save_shadow(shadow("x", path="lone \udcff surrogate"))
    store.commit()
    assert store.updates(DOC) == [b"good"]
    store.close()


def test_a_shadow_knows_whether_a_save_here_brought_it_even_when_an_intent_was_confirmed(
    tmp_path: Path,
) -> None:
    store = Store.open(tmp_path / "session.db")
    saved = SaveShadow(DOC, "a.md", b"typed here", binary=False, intent=False)
    intent = SaveShadow(DOC, "a.md", b"typed there", binary=False, intent=True)
    for shadow in (saved, intent, replace(intent, intent=False)):
        store.save_shadow(shadow)
    store.commit()
    assert [shadow.saved for shadow in store.shadows()] == [True, False]
    store.close()
