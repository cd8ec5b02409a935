"""Which folder is which replica: moved, copied, emptied, unmounted, cleaned."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from peer.core.actions import SaveShadow
from peer.core.ids import DocId
from peer.edge.registry import (
    MARKER,
    FolderVanished,
    Replica,
    SessionRecord,
    create,
    enclosing,
    find,
    is_known,
    load_record,
    save_record,
)
from peer.edge.store import Store
from peer.errors import StorageError, UsageError

SESSION = bytes(range(32))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def record(folder: Path) -> SessionRecord:
    return SessionRecord(
        session=SESSION,
        secret=b"s" * 32,
        chain=(b"certificate",),
        role="owner",
        name="anna",
        servers=("https://pad.example.org",),
        created_unix=1000.0,
        folder=str(folder),
        invite_seed=b"i" * 32,
        invite_chain=(b"one", b"two"),
        owner_seed=b"o" * 32,
    )


def shared(folder: Path, *files: str) -> Replica:
    """A folder that has been shared, whose database knows *files*."""
    folder.mkdir(parents=True)
    replica = create(folder, SESSION)
    store = Store.open(replica.database)
    save_record(store, record(folder))
    for number, name in enumerate(files):
        (folder / name).write_text(name)
        store.save_shadow(SaveShadow(DocId(b"%08d" % number), name, name.encode(), False, False))
    store.close()
    return replica


def known(replica: Replica | None) -> SessionRecord | None:
    assert replica is not None
    store = Store.open(replica.database)
    try:
        return load_record(store)
    finally:
        store.close()


def test_a_shared_folder_is_found_again_and_holds_no_secret(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "notes"
    replica = shared(folder, "a.md")
    assert find(folder) == replica
    assert is_known(folder)
    assert find(folder / ".." / "notes") == replica
    assert known(replica) == record(folder)
    assert json.loads((folder / MARKER).read_bytes()) == {
        "schema": 1,
        "session": SESSION.hex(),
        "replica": replica.replica,
    }
    assert (folder / ".weft" / ".gitignore").read_text() == "*\n"
    assert data in replica.database.parents
    assert stat.S_IMODE(replica.database.parent.stat().st_mode) == 0o700


def test_a_folder_that_was_never_shared_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert find(tmp_path / "other") is None
    assert find(tmp_path / "absent") is None


def test_it_is_found_while_its_session_runs(tmp_path: Path) -> None:
    replica = shared(tmp_path / "notes", "a.md")
    store = Store.open(replica.database)
    assert find(tmp_path / "notes") == replica
    store.close()


def test_secrets_are_not_in_what_a_log_would_show(tmp_path: Path) -> None:
    shown = repr(record(tmp_path))
    assert "sss" not in shown
    assert "ooo" not in shown


def test_a_moved_folder_keeps_its_replica(tmp_path: Path) -> None:
    replica = shared(tmp_path / "notes", "a.md")
    (tmp_path / "notes").rename(tmp_path / "moved")
    found = find(tmp_path / "moved")
    assert found is not None
    assert (found.replica, found.copied) == (replica.replica, False)
    assert found.folder == tmp_path / "moved"
    # Something else may now be where it was.
    assert find(tmp_path / "notes") is None


def test_a_copied_folder_becomes_a_replica_of_its_own_that_knows_no_document(tmp_path: Path) -> None:
    replica = shared(tmp_path / "notes", "a.md")
    shutil.copytree(tmp_path / "notes", tmp_path / "copy")
    store = Store.open(replica.database)  # the original may be running
    found = find(tmp_path / "copy")
    store.close()
    assert found is not None
    assert found.copied
    assert found.replica != replica.replica
    assert known(found) == record(tmp_path / "notes")
    copy = Store.open(found.database)
    assert copy.shadows() == []
    copy.close()
    again = find(tmp_path / "copy")
    assert again is not None
    assert (again.replica, again.copied) == (found.replica, False)
    assert find(tmp_path / "notes") == replica


def test_the_moved_original_stays_itself_when_a_copy_took_its_place(tmp_path: Path) -> None:
    replica = shared(tmp_path / "notes", "a.md")
    (tmp_path / "notes").rename(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "notes")
    original, copy = find(tmp_path / "original"), find(tmp_path / "notes")
    assert original is not None
    assert copy is not None
    assert original.replica == replica.replica
    assert copy.replica != replica.replica


def test_a_folder_from_another_machine_is_not_known_here(tmp_path: Path) -> None:
    replica = shared(tmp_path / "notes", "a.md")
    shutil.rmtree(replica.database.parent)
    assert find(tmp_path / "notes") is None
    assert not is_known(tmp_path / "notes")


@pytest.mark.parametrize("gone", ["whole", "contents"])
def test_a_folder_that_lost_its_files_and_mark_is_not_taken_for_an_emptied_one(
    tmp_path: Path, gone: str
) -> None:
    folder = tmp_path / "notes"
    shared(folder, "a.md", "b.md")
    shutil.rmtree(folder)
    if gone == "contents":
        folder.mkdir()
    with pytest.raises(FolderVanished, match="is its disk mounted") as caught:
        find(folder)
    assert caught.value.missing == ["a.md", "b.md"]
    assert find(folder, lost_ok=True) is None


def test_a_removed_folder_can_be_joined_anew(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    before = shared(folder, "a.md")
    shutil.rmtree(folder)
    replica = create(folder, SESSION)
    assert replica.replica != before.replica
    assert find(folder) is None  # its database is made by Store.open
    Store.open(replica.database).close()
    assert find(folder) == replica
    assert before.database.exists()


def test_a_mark_that_was_cleaned_away_is_put_back_while_the_files_are_there(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    replica = shared(folder, "a.md", "b.md")
    shutil.rmtree(folder / ".weft")
    (folder / "a.md").unlink()
    assert find(folder) == replica
    assert (folder / MARKER).exists()


def test_a_session_without_files_has_nothing_to_lose(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    shared(folder)
    shutil.rmtree(folder)
    assert find(folder) is None


@pytest.mark.parametrize(
    "mark",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"session": "../../etc", "replica": "0000000000000000"}',
        b'{"session": "' + b"0" * 64 + b'", "replica": "../../../x"}',
    ],
)
def test_a_damaged_or_hostile_mark_is_as_good_as_none(tmp_path: Path, mark: bytes) -> None:
    folder = tmp_path / "notes"
    (folder / ".weft").mkdir(parents=True)
    (folder / MARKER).write_bytes(mark)
    assert find(folder) is None
    assert enclosing(folder) is None


def test_a_mark_directory_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "notes", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / ".weft").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="link to another place"):
        create(folder, SESSION)
    assert list(elsewhere.iterdir()) == []


def test_the_shared_folder_is_found_from_inside(tmp_path: Path) -> None:
    shared(tmp_path / "notes", "a.md")
    deep = tmp_path / "notes" / "x" / "y"
    deep.mkdir(parents=True)
    assert enclosing(deep) == tmp_path / "notes"
    assert enclosing(tmp_path) is None


def test_a_damaged_record_is_an_error_and_a_new_database_has_none(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "x.db")
    assert load_record(store) is None
    store.set_meta("session", b"\xc1 not MessagePack")
    with pytest.raises(StorageError, match="join it again"):
        load_record(store)
    store.close()


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError):
        create(tmp_path / "file", SESSION)
