"""The ways into a session: a new one, an invitation, a folder that belongs to one already."""

import getpass
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peer.core.certificates import Role, verify_chain
from peer.core.ids import DeviceKey
from peer.core.invitation import Invitation, parse_invitation
from peer.edge import entry as entry_module
from peer.edge.entry import Entry, enter_again, enter_by_link, enter_new, own_name
from peer.edge.store import Store
from peer.errors import StorageError, UsageError

SERVER = "http://127.0.0.1:8787"
OTHER = "https://pad.example.org"


class Doors:
    """The ways in, with stores that are closed when the test is over."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def new(self, folder: Path | None, server: str | None = SERVER, name: str | None = "anna") -> Entry:
        return self.note(enter_new(folder, server=server, name=name, policy="auto"))

    def link(
        self, link: str, folder: Path | None, server: str | None = None, name: str | None = "ben"
    ) -> Entry:
        return self.note(enter_by_link(link, folder, server=server, name=name, policy="auto"))

    def again(self, folder: Path, server: str | None = None, name: str | None = None) -> Entry:
        return self.note(enter_again(folder, server=server, name=name, policy="relay"))

    def note(self, entry: Entry) -> Entry:
        self.entries.append(entry)
        return entry

    def leave(self) -> None:
        """Close every store, as a session does when it ends."""
        for entry in self.entries:
            if entry.plan.store is not None:
                entry.plan.store.close()
        self.entries.clear()


@pytest.fixture
def doors() -> Iterator[Doors]:
    made = Doors()
    yield made
    made.leave()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.mkdir()
    return path


def can_act(entry: Entry) -> Role:
    """The role that our certificates prove, as every other member checks it."""
    record = entry.plan.record
    device = DeviceKey(entry.plan.identity.device)
    return verify_chain(list(record.chain), record.session, device, time.time())


# --- new ------------------------------------------------------------------------------------------------


def test_who_shares_a_folder_owns_the_session(doors: Doors, folder: Path) -> None:
    entry = doors.new(folder)
    assert can_act(entry) is Role.OWNER
    assert entry.plan.record.role == "owner"
    assert entry.plan.folder == folder.resolve()
    assert entry.plan.servers[0] == SERVER
    assert not entry.resumed
    assert parse_invitation(entry.link).servers == (SERVER,)


def test_sharing_again_goes_on_with_the_same_session(doors: Doors, folder: Path) -> None:
    first = doors.new(folder)
    doors.leave()
    again = doors.new(folder, server=None, name=None)
    assert again.resumed
    assert again.plan.record.session == first.plan.record.session
    assert again.plan.record.name == "anna"
    assert again.link == first.link
    assert again.plan.servers[0] == SERVER


def test_two_folders_are_two_sessions(doors: Doors, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert doors.new(folder).plan.record.session != doors.new(tmp_path / "other").plan.record.session


def test_a_session_without_a_folder_leaves_nothing_on_disk(doors: Doors) -> None:
    entry = doors.new(None)
    assert entry.plan.store is None
    assert entry.plan.folder is None
    assert can_act(entry) is Role.OWNER


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("a file")])
def test_only_a_folder_can_be_shared(doors: Doors, tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "x")
    with pytest.raises(UsageError, match="not a folder"):
        doors.new(tmp_path / "x")


def test_without_any_server_nothing_begins(doors: Doors, folder: Path) -> None:
    with pytest.raises(UsageError, match="weft serve"):
        doors.new(folder, server=None)
    assert list(folder.iterdir()) == []
    with pytest.raises(UsageError, match="weft serve"):
        doors.new(None, server=None)


def test_a_folder_is_used_by_one_process_at_a_time(doors: Doors, folder: Path) -> None:
    doors.new(folder)
    with pytest.raises(UsageError):
        doors.new(folder)


# --- by link ----------------------------------------------------------------------------------------------


def test_who_joins_by_link_may_edit_and_may_invite_others(doors: Doors, folder: Path, tmp_path: Path) -> None:
    owner = doors.new(folder)
    joined = doors.link(owner.link, tmp_path / "deep" / "copy")
    assert can_act(joined) is Role.EDITOR
    assert joined.plan.record.role == "editor"
    assert joined.plan.record.session == owner.plan.record.session
    assert joined.plan.record.owner_seed is None
    assert joined.plan.servers[0] == SERVER
    assert (tmp_path / "deep" / "copy").is_dir()
    third = doors.link(joined.link, None)
    assert can_act(third) is Role.EDITOR
    assert third.plan.record.secret == owner.plan.record.secret


def test_joining_again_by_link_goes_on(doors: Doors, folder: Path, tmp_path: Path) -> None:
    owner = doors.new(folder)
    doors.link(owner.link, tmp_path / "copy")
    doors.leave()
    again = doors.link(owner.link, tmp_path / "copy", name="benjamin")
    assert again.resumed
    assert again.plan.record.name == "benjamin"


def test_a_link_with_another_server_is_believed(doors: Doors, folder: Path, tmp_path: Path) -> None:
    owner = doors.new(folder)
    doors.link(owner.link, tmp_path / "copy")
    doors.leave()
    moved = doors.new(folder, server=OTHER)
    assert moved.plan.record.servers == (OTHER, SERVER)
    again = doors.link(moved.link, tmp_path / "copy")
    assert again.plan.record.servers == (OTHER, SERVER)


def test_a_folder_of_another_session_is_left_alone(doors: Doors, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    mine = doors.new(folder)
    theirs = doors.new(tmp_path / "other")
    doors.leave()
    before = (folder / ".weft" / "session.json").read_bytes()
    with pytest.raises(UsageError, match="another session"):
        doors.link(theirs.link, folder)
    assert (folder / ".weft" / "session.json").read_bytes() == before
    assert doors.new(folder).plan.record.session == mine.plan.record.session


def test_an_invitation_that_has_run_out_lets_nobody_in(
    doors: Doors, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_module, "INVITATION_SECONDS", -10)
    link = doors.new(folder).link
    with pytest.raises(UsageError):
        doors.link(link, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(UsageError):
        doors.link(link, None)


def test_who_is_a_member_already_does_not_need_a_fresh_invitation(
    doors: Doors, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = doors.new(folder).link
    doors.link(link, tmp_path / "copy")
    doors.leave()
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert doors.link(link, tmp_path / "copy").resumed


@pytest.mark.parametrize("link", ["", "weft:", "weft:AAAA", "https://example.org/", "hello"])
def test_what_is_no_invitation_is_refused_and_changes_nothing(
    doors: Doors, tmp_path: Path, link: str
) -> None:
    with pytest.raises(UsageError):
        doors.link(link, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_link_without_a_server_needs_one(doors: Doors, folder: Path, tmp_path: Path) -> None:
    invitation = parse_invitation(doors.new(folder).link)
    bare = Invitation(invitation.secret, invitation.key_seed, invitation.chain).to_uri()
    with pytest.raises(UsageError, match="weft serve"):
        doors.link(bare, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert doors.link(bare, tmp_path / "copy", server=OTHER).plan.servers[0] == OTHER


def test_at_most_three_servers_are_remembered(doors: Doors, folder: Path) -> None:
    for number in range(5):
        doors.new(folder, server=f"http://{number}.example.org")
        doors.leave()
    servers = doors.new(folder, server=None).plan.record.servers
    assert servers == ("http://4.example.org", "http://3.example.org", "http://2.example.org")


# --- again ------------------------------------------------------------------------------------------------


def test_a_folder_goes_on_without_a_link_also_from_inside_of_it(
    doors: Doors, folder: Path, tmp_path: Path
) -> None:
    joined = doors.link(doors.new(folder).link, tmp_path / "copy")
    doors.leave()
    inside = tmp_path / "copy" / "deep" / "er"
    inside.mkdir(parents=True)
    again = doors.again(inside)
    assert again.resumed
    assert again.plan.folder == (tmp_path / "copy").resolve()
    assert again.plan.record == joined.plan.record
    assert again.plan.policy == "relay"
    assert again.link == joined.link


def test_going_on_with_another_server_and_name_remembers_both(doors: Doors, folder: Path) -> None:
    doors.new(folder)
    doors.leave()
    again = doors.again(folder, server=OTHER, name="anne")
    assert again.plan.servers[0] == OTHER
    doors.leave()
    later = doors.again(folder)
    assert (later.plan.servers[0], later.plan.record.name) == (OTHER, "anne")
    assert later.plan.record.servers == (OTHER, SERVER)


def test_a_folder_of_no_session_cannot_go_on(doors: Doors, folder: Path) -> None:
    with pytest.raises(UsageError, match="belongs to no session"):
        doors.again(folder)
    assert list(folder.iterdir()) == []


def test_a_moved_folder_goes_on(doors: Doors, folder: Path, tmp_path: Path) -> None:
    first = doors.new(folder)
    doors.leave()
    folder.rename(tmp_path / "moved")
    again = doors.again(tmp_path / "moved")
    assert again.plan.record.session == first.plan.record.session
    assert again.plan.folder == (tmp_path / "moved").resolve()


def test_a_copied_folder_is_a_member_of_its_own(doors: Doors, folder: Path, tmp_path: Path) -> None:
    first = doors.new(folder)
    shutil.copytree(folder, tmp_path / "copy")
    copied = doors.again(tmp_path / "copy")
    assert copied.plan.record.session == first.plan.record.session
    assert copied.plan.folder == (tmp_path / "copy").resolve()
    assert copied.plan.store is not first.plan.store


def test_a_set_up_that_was_never_finished_says_what_to_do(doors: Doors, folder: Path) -> None:
    entry = doors.new(folder)
    assert entry.plan.store is not None
    entry.plan.store._run("DELETE FROM meta", ())
    entry.plan.store.commit()
    doors.leave()
    with pytest.raises(UsageError, match="never finished"):
        doors.again(folder)
    # nothing is left locked, and whoever starts over can
    fresh = doors.new(folder)
    assert not fresh.resumed
    assert fresh.plan.record.session != entry.plan.record.session


def test_an_error_on_the_way_in_can_be_tried_again(
    doors: Doors, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = doors.new(None).link

    def refuse(store: Store, record: object) -> None:
        raise StorageError("full")

    with monkeypatch.context() as patch:
        patch.setattr("peer.edge.registry.save_record", refuse)
        with pytest.raises(StorageError):
            doors.new(folder)
        with pytest.raises(StorageError):
            doors.link(link, tmp_path / "copy")
    assert not doors.new(folder).resumed
    assert not doors.link(link, tmp_path / "copy").resumed


# --- names and secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [("anna", "anna"), ("  Anna   B. ", "Anna B."), ("日本\tさん", "日本 さん"), ("😀" * 64, "😀" * 64)],
)
def test_a_name_is_one_line_of_printable_characters(given: str, name: str) -> None:
    assert own_name(given) == name


@pytest.mark.parametrize("given", ["", "   ", "x" * 65, "a\x1b[31mb", "a\u202eb", "\x00"])
def test_other_names_are_refused(given: str) -> None:
    with pytest.raises(UsageError, match="printable"):
        own_name(given)


def test_without_a_name_it_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "carla")
    assert own_name(None) == "carla"


def test_a_user_without_a_name_is_someone(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert own_name(None) == "someone"


def test_a_refused_name_changes_nothing(doors: Doors, folder: Path) -> None:
    with pytest.raises(UsageError):
        doors.new(folder, name="\x07")
    assert list(folder.iterdir()) == []


def test_secrets_are_in_no_representation_and_no_log(
    doors: Doors, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        owner = doors.new(folder)
        joined = doors.link(owner.link, tmp_path / "copy")
        shown = f"{owner!r} {joined!r} {owner} {owner.plan!r} {owner.plan.record} {owner.plan.identity}"
    record = owner.plan.record
    for secret in (record.secret, record.owner_seed, record.invite_seed):
        assert secret is not None
        assert repr(secret) not in shown
        assert secret.hex() not in shown
        assert repr(secret) not in caplog.text
    assert owner.link not in shown
    assert owner.link not in caplog.text
    for path in folder.rglob("*"):
        if path.is_file():
            assert record.secret not in path.read_bytes()
            assert owner.link.encode() not in path.read_bytes()
