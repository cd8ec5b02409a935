"""What people read, word for word where it matters."""

import io
import time
from pathlib import Path

import pytest

from peer.cli.errors import Problem, explain, lines
from peer.cli.exit_codes import ExitCode
from peer.cli.folding import REMEMBERED, Folding
from peer.cli.ndjson import problem_fields
from peer.cli.paint import wants_color
from peer.cli.render import Quiet, Setting, Terminal
from peer.cli.running import run
from peer.cli.wording import cells, count, duration, host, join_command, path_words, place, plain, size
from peer.core.notices import (
    ConnectStage,
    FileChanged,
    Notice,
    PeerJoined,
    PeerLeft,
    PeerPath,
    PeerPong,
    PeerSilent,
    PresenceChanged,
    Returned,
    ServerState,
    SyncDone,
    SyncProgress,
    Trouble,
    Warned,
)
from peer.edge.database import AlreadyRunning, NewerFormat
from peer.edge.registry import FolderVanished
from peer.errors import (
    Incompatible,
    InvitationRefused,
    Malformed,
    ServerUnreachable,
    StorageError,
    Unreachable,
    UsageError,
    WouldOverwrite,
)
from tests.cli.fake_session import LINK, FakeSession

SHARE = Setting("share", "notes/", server="https://pad.example.org", presence=True)

RELAYED = "relayed by pad.example.org (end-to-end encrypted)"


class Screen:
    """A terminal view with a clock that the test turns."""

    def __init__(self, setting: Setting = SHARE) -> None:
        self.stream = io.BytesIO()
        self.now = 100.0
        self.view = Terminal(self.stream, setting, wall=lambda: 0.0, steady=lambda: self.now)
        self.stamp = time.strftime("%H:%M:%S", time.localtime(0.0))

    def tell(self, *notices: Notice) -> None:
        for notice in notices:
            self.view.notice(notice)

    def lines(self) -> list[str]:
        """Everything shown, without the time in front."""
        self.view.close()
        text = self.stream.getvalue().decode()
        return [line.strip().removeprefix(self.stamp).strip() for line in text.splitlines()]


def edited(path: str, by: str = "ben", change: str = "edited") -> FileChanged:
    return FileChanged(path, change, by)


def test_sharing_shows_what_is_shared_and_the_command_to_copy(tmp_path: Path) -> None:
    screen = Screen()
    screen.view.opening()
    screen.view.started(FakeSession(folder=tmp_path))
    shown = screen.lines()
    assert shown[0] == "notes/  opening …"
    assert shown[1] == f"{tmp_path}/  14 files, 212 kB"
    assert f"weft join {LINK}" in shown
    assert "Ctrl-C leaves (files stay).   weft status   weft stop" in shown


def test_the_command_to_copy_names_the_flags_that_matter() -> None:
    assert join_command("weft:A") == "weft join weft:A"
    link = "https://pad.example.org/j#A&b"
    assert join_command(link, policy="relay") == f"weft join '{link}' --path relay"
    assert join_command("weft:A", server="http://x:1") == "weft join weft:A --server http://x:1"


def test_the_steps_to_a_peer_are_folded_into_the_line_that_says_it_joined(tmp_path: Path) -> None:
    screen = Screen(Setting("join", "notes/", server="https://pad.example.org"))
    screen.view.started(FakeSession(folder=tmp_path))
    screen.tell(
        ConnectStage("server", "", "", True, 31.4, ""),
        ServerState("connected", "", "https://pad.example.org"),
        ConnectStage("found", "1", "ben", True, 0.2, ""),
        ConnectStage("sealed", "1", "ben", True, 14.0, ""),
        PeerJoined("1", "ben", "editor"),
        PeerJoined("2", "chen", "editor"),
        PeerPong("1", "ben", "direct", "", 1.0, 1),
    )
    assert screen.lines()[1:] == [
        "pad.example.org reached in 31 ms",
        "ben is here   found under 1 ms · sealed 14 ms",
        "chen is here",
    ]


def test_one_who_joined_long_ago_is_not_told_how_long_they_waited_for_people(tmp_path: Path) -> None:
    screen = Screen(Setting("join", "notes/"))
    screen.view.started(FakeSession(folder=tmp_path))
    screen.now += 6.0
    screen.view.flush()
    screen.tell(ConnectStage("found", "1", "ben", True, 83_000.0, ""), PeerJoined("1", "ben", "editor"))
    assert screen.lines()[-1] == "ben is here"


def test_the_server_that_was_reached_is_named_and_not_the_one_that_was_asked_for() -> None:
    screen = Screen(Setting("join", "notes/", server="http://127.0.0.1:9"))
    screen.tell(
        ConnectStage("server", "", "", True, 212.0, ""),
        ServerState("connected", "", "https://pad.example.org"),
    )
    assert screen.lines() == [
        "pad.example.org reached in 212 ms",
        "others are met at pad.example.org now",
    ]


def test_a_server_that_stays_away_is_named_once_in_each_line_and_advice_is_given_once() -> None:
    screen = Screen()
    gone, down = (
        "the server pad.example.org: it was stopped, or is restarting",
        "the server pad.example.org: no connection: refused",
    )
    screen.tell(ServerState("lost", gone), ServerState("lost", down), ServerState("lost", gone))
    assert screen.lines() == [
        "pad.example.org cannot be reached: it was stopped, or is restarting",
        "who is connected stays so; from elsewhere nobody joins meanwhile",
        "pad.example.org: refused",
    ]


def test_one_who_shares_is_not_told_how_long_they_waited_for_people() -> None:
    screen = Screen()
    screen.tell(
        ConnectStage("found", "1", "ben", True, 90_000.0, ""),
        ConnectStage("sealed", "1", "ben", True, 1400.0, ""),
        PeerJoined("1", "ben", "editor"),
    )
    assert screen.lines() == ["ben joined   sealed 1.4 s"]


def test_a_direct_path_that_was_not_found_is_told_with_what_finds_out_more() -> None:
    screen = Screen()
    screen.tell(ConnectStage("direct", "1", "ben", False, 15_000.0, "it took too long"))
    assert screen.lines() == [
        "ben: no direct path yet (it took too long); Weft goes on looking",
        "weft doctor --peer ben",
    ]


def test_one_who_joins_is_told_that_nobody_is_there_if_that_lasts(tmp_path: Path) -> None:
    screen = Screen(Setting("join", "notes/"))
    screen.view.started(FakeSession(folder=tmp_path))
    assert screen.view.patience() == 5.0
    screen.now += 4.9
    screen.view.flush()
    screen.now += 0.2
    assert screen.view.patience() == 0.0
    screen.view.flush()
    screen.view.flush()
    assert screen.view.patience() is None
    shown = screen.lines()
    assert [line for line in shown if "nobody" in line] == [
        "nobody of this session is here yet; the files come with them"
    ]


def test_one_who_meets_somebody_is_not_told_so(tmp_path: Path) -> None:
    screen = Screen(Setting("join", "notes/"))
    screen.view.started(FakeSession(folder=tmp_path))
    screen.tell(PeerJoined("1", "ben", "editor"))
    screen.now += 6.0
    screen.view.flush()
    assert not [line for line in screen.lines() if "nobody" in line]


def test_people_come_change_path_fall_silent_and_go() -> None:
    screen = Screen()
    screen.tell(
        PeerJoined("1", "ben", "editor"),
        PeerJoined("2", "chen", "viewer"),
        PeerPath("1", "ben", "relay", 61.4, 10),
    )
    assert screen.view.patience() == pytest.approx(1.0)
    screen.now += 1.0
    screen.view.flush()
    screen.tell(
        PeerPath("1", "ben", "direct", 24.0, 1900),
        PeerPath("1", "ben", "direct", None, 900),
        PeerPath("2", "chen", "lan", 2.0, 900),
        PeerPath("3", "dora", "turn", 70.0, 900),
    )
    screen.now += 1.0
    screen.view.flush()
    screen.tell(
        PeerSilent("1", "ben", 6.5),
        PeerPath("1", "ben", "direct", 24.0, 900),
        PeerLeft("1", "ben", "bye"),
        PeerLeft("2", "chen", "silent"),
        PeerLeft("3", "dora", "refused"),
    )
    assert screen.lines() == [
        "ben joined",
        "chen joined as viewer",
        f"ben: {RELAYED}, round trip 61 ms   found 10 ms after meeting",
        "ben: now direct, round trip 24 ms   found 1.9 s after meeting",
        "ben: direct",
        "chen: on this network, round trip 2 ms   found 900 ms after meeting",
        "dora: relayed by TURN, round trip 70 ms   found 900 ms after meeting",
        "ben was last heard 6.5 s ago; waiting",
        "ben: back, direct, round trip 24 ms",
        "ben left",
        "chen is gone: nothing was heard for too long",
        "dora was cut off: refused",
    ]


def test_a_first_path_that_a_better_one_replaces_at_once_has_no_line() -> None:
    screen = Screen()
    screen.tell(
        PeerPath("1", "ben", "lan", 12.0, 10),
        PeerPath("2", "chen", "relay", 60.0, 10),
        PeerPath("1", "ben", "direct", 2.0, 42),
        PeerPath("3", "dora", "relay", 60.0, 10),
        PeerLeft("3", "dora", "bye"),
        PeerSilent("2", "chen", 6.5),
    )
    assert screen.view.patience() is None
    assert screen.lines() == [
        "ben: direct, round trip 2 ms   found 42 ms after meeting",
        "dora left",
        f"chen: {RELAYED}, round trip 60 ms   found 10 ms after meeting",
        "chen was last heard 6.5 s ago; waiting",
    ]


def test_file_events_are_folded_to_one_line_per_second() -> None:
    screen = Screen()
    screen.tell(edited("a.md"))
    for number in range(12):
        screen.tell(edited(f"{number}.md"), edited(f"{number}.md"))
    screen.tell(edited("mine.md", "disk"))
    screen.view.flush()
    assert screen.view.patience() == pytest.approx(1.0)
    screen.now += 1.0
    assert screen.view.patience() == 0.0
    screen.view.flush()
    assert screen.view.patience() is None
    screen.now += 0.5
    screen.tell(edited("b.md"))
    screen.view.ended({})
    shown = screen.lines()
    assert shown[:3] == ["ben changed a.md", "ben changed 12 files · you changed mine.md", "ben changed b.md"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([edited("a", change="created")], "ben added a"),
        ([edited("a", change="created"), edited("a")], "ben added a"),
        ([edited("a"), edited("a", change="deleted")], "ben removed a"),
        ([FileChanged("b", "renamed", "ben", "a")], "ben renamed a to b"),
        ([edited("a", change="held")], "ben could not write a"),
        ([edited("a", change="deleted"), edited("b", change="deleted")], "ben removed 2 files"),
        ([edited("a", change="deleted"), edited("b")], "ben changed 2 files"),
        ([edited(str(n)) for n in range(REMEMBERED + 5)], "ben changed 1,000 files or more"),
    ],
)
def test_a_folded_line_says_as_much_as_it_can(changes: list[FileChanged], line: str) -> None:
    folding = Folding()
    for change in changes:
        folding.add(change)
    assert folding.take(5.0) == line
    assert folding.take(9.0) == ""


def test_only_a_long_sync_shows_progress() -> None:
    screen = Screen()
    for done in range(12):
        screen.tell(SyncProgress("1", "ben", done, 1200))
        screen.now += 1.0
    screen.tell(SyncDone("1", "ben", 1200, 3_400_000, 12_400))
    assert screen.lines() == [
        "receiving from ben: 5 of 1,200",
        "receiving from ben: 10 of 1,200",
        "up to date with ben: 3.4 MB in 12 s",
    ]


def test_the_server_is_mentioned_only_when_it_was_lost() -> None:
    screen = Screen()
    screen.tell(ServerState("connected", ""), ServerState("lost", "refused"), ServerState("connected", ""))
    shown = screen.lines()
    assert len(shown) == 3
    assert shown[0] == "pad.example.org cannot be reached: refused"
    assert shown[2] == "pad.example.org is back"


def test_another_server_is_named_when_it_is_used() -> None:
    screen = Screen()
    screen.tell(
        ServerState("connected", "", "https://pad.example.org"),
        ServerState("lost", "refused"),
        ServerState("connected", "", "wss://other.example.org:8443/v1/ws"),
        ServerState("connected", "", "https://pad.example.org"),
    )
    assert screen.lines()[2:] == [
        "others are met at other.example.org:8443 now",
        "others are met at pad.example.org now",
    ]


def test_who_comes_back_is_shown_with_what_was_typed_meanwhile() -> None:
    screen = Screen()
    screen.tell(Returned("a1", "ben", 47 * 60.0, 12, 3), Returned("a1", "b\x1ben", 8.0, 1, 0))
    assert screen.lines() == [
        "ben: back after 47 min: 12 edits sent, 3 received",
        "b\ufffden: back after 8.0 s: 1 edit sent, 0 received",
    ]


def test_presence_is_shown_when_somebody_goes_to_another_file() -> None:
    here = PresenceChanged("1", "ben", "#f00", True, "a.md", (1, 1), True, False)
    moved = PresenceChanged("1", "ben", "#f00", True, "a.md", (2, 2), False, False)
    screen = Screen()
    screen.tell(here, moved)
    assert screen.lines() == ["ben is in a.md"]
    silent = Screen(Setting("share", "notes/"))
    silent.tell(here)
    assert silent.lines() == []


def test_warnings_and_troubles_carry_their_code() -> None:
    screen = Screen()
    screen.tell(Warned("W-BIG", "too large", "x.iso"), Trouble("E-DISK", "disk full"))
    screen.view.warning("W-OWN", "of our own")
    assert screen.lines() == [
        "warning: too large (x.iso)  [W-BIG]",
        "error: disk full  [E-DISK]",
        "warning: of our own  [W-OWN]",
    ]


def test_nobodys_name_can_steer_the_terminal() -> None:
    screen = Screen()
    evil = "\x1b[2Jben\r\n\u202e\u2066"
    screen.tell(
        PeerJoined("1", evil, "editor"),
        edited(evil, evil),
        PeerLeft("1", "ben", evil),
        Warned(evil, evil, evil),
        ServerState("lost", evil),
    )
    screen.view.failed(explain(Malformed(evil)))
    shown = "\n".join(screen.lines())
    for character in "\x1b\r\u202e\u2066":
        assert character not in shown
    assert plain("👩\u200d💻 日本 é") == "👩\u200d💻 日本 é"
    assert plain("x" * 500, 10) == "x" * 9 + "…"


def test_colour_stands_only_beside_words(tmp_path: Path) -> None:
    colored, bare = Screen(Setting("share", "notes/", color=True)), Screen(Setting("share", "notes/"))
    for screen in (colored, bare):
        screen.view.started(FakeSession(folder=tmp_path))
        screen.view.failed(Problem("E-X", ExitCode.FAILURE, "broken"))
    assert "\x1b[" in "".join(colored.lines())
    assert "\x1b[" not in "".join(bare.lines())


@pytest.mark.parametrize(
    ("choice", "terminal", "environ", "wanted"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("auto", False, {"FORCE_COLOR": "1"}, True),
        ("auto", False, {"CLICOLOR_FORCE": "0"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_colour_follows_flag_then_environment_then_terminal(
    choice: str, terminal: bool, environ: dict[str, str], wanted: bool
) -> None:
    assert wants_color(choice, terminal, environ) is wanted


def test_quiet_prints_the_link_and_nothing_else_but_troubles(tmp_path: Path) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    notices: list[Notice] = [PeerJoined("1", "ben", "editor"), edited("a"), Warned("W-X", "hm")]
    assert run(Quiet(out, err, SHARE), FakeSession(notices, folder=tmp_path).opening) == ExitCode.OK
    assert out.getvalue().decode() == LINK + "\n"
    assert err.getvalue() == b""
    troubled = FakeSession([Trouble("E-DISK", "disk full")], folder=tmp_path)
    assert run(Quiet(io.BytesIO(), err, SHARE), troubled.opening) == ExitCode.OK
    assert b"disk full" in err.getvalue()


# --- failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "exit_"),
    [
        (UsageError("x"), "E-USAGE", 2),
        (AlreadyRunning(7), "E-RUNNING", 2),
        (WouldOverwrite("x", ["a.md"]), "E-WOULD-OVERWRITE", 8),
        (FolderVanished(Path("n"), ["a.md"], Path("d/s.db")), "E-FOLDER-LOST", 8),
        (InvitationRefused("x"), "E-REFUSED", 6),
        (ServerUnreachable("x"), "E-SERVER", 7),
        (Unreachable("x"), "E-UNREACHABLE", 4),
        (Incompatible("x"), "E-VERSION", 9),
        (NewerFormat("x"), "E-VERSION", 9),
        (StorageError("x"), "E-DISK", 1),
        (Malformed("x"), "E-REMOTE", 6),
        (ValueError("x"), "E-INTERNAL", 1),
        (KeyError(), "E-INTERNAL", 1),
    ],
)
def test_each_failure_has_its_code_and_exit(error: Exception, code: str, exit_: int) -> None:
    problem = explain(error)
    assert (problem.code, problem.exit) == (code, exit_)
    assert problem_fields(problem)["exit"] == exit_
    assert problem.message


def test_the_details_of_our_own_mistake_are_kept_in_a_private_file(places: Path) -> None:
    try:
        raise ZeroDivisionError("a mistake in Weft")
    except ZeroDivisionError as error:
        problem = explain(error)
    path = places / "data" / "crash.log"
    assert problem.do.endswith(str(path))
    assert "Traceback" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failure_names_what_differs_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # no terminal, so nothing is broken into lines
    shown = lines(explain(WouldOverwrite("notes/ holds other files", [f"{n}.md" for n in range(13)])), 80)
    assert shown[0] == "error: notes/ holds other files" + " " * 30 + "[E-WOULD-OVERWRITE]"
    assert len(shown[0]) == 80
    assert shown[1:12] == [f"  {n}.md" for n in range(10)] + ["  … and 3 more"]
    assert shown[12].startswith("  likely  this folder")
    assert shown[13].startswith("  do      join into a new")
    several = lines(Problem("E-X", ExitCode.USAGE, "long " * 40, do="one\ntwo"))
    assert several[0].endswith("long  [E-X]")
    assert several[1:] == ["  do      one", "          two"]


@pytest.mark.parametrize(
    ("reason", "likely"),
    [
        ("no connection: nothing listens there (connection refused)", "no server runs at that port"),
        ("no connection: its name is not found", "mistyped"),
        ("no connection within 10 s", "firewall"),
        ("no connection: its certificate is not believed (certificate has expired)", "certificate ran out"),
        ("no connection: no way leads there (network unreachable)", "offline"),
        ("what answers there is not a Weft server (HTTP 404)", "proxy"),
    ],
)
def test_a_server_that_was_not_reached_is_told_with_step_reason_and_next_command(
    reason: str, likely: str
) -> None:
    problem = explain(ServerUnreachable(f"the server pad.example.org: {reason}"))
    assert likely in problem.likely
    assert problem.tried == "to reach the server, the first step on the way to others"
    assert problem.do.startswith("weft doctor --server URL")
    screen = Screen()
    screen.view.failed(problem)
    assert any("weft doctor --server https://pad.example.org " in line for line in screen.lines())


def test_numbers_are_said_as_people_say_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [size(n) for n in (1, 999, 212_400, 3_400_000)] == ["1 byte", "999 bytes", "212 kB", "3.4 MB"]
    assert [duration(s) for s in (0.44, 59, 150, 7440)] == ["0.4 s", "59 s", "2 min", "2 h 4 min"]
    assert [count(n, "file") for n in (0, 1, 1200)] == ["0 files", "1 file", "1,200 files"]
    assert host("https://ben:secret@pad.example.org:8443/x") == "pad.example.org:8443"
    assert path_words("new", "s") == "new"
    assert path_words("direct", "s", "192.0.2.1:4") == "direct 192.0.2.1:4"
    assert path_words("turn", "s:8787", "192.0.2.1:49160") == "relayed by TURN at 192.0.2.1:49160"
    assert path_words("turn", "s:8787") == "relayed by TURN"
    (tmp_path / "notes").mkdir()
    (tmp_path / "a.md").touch()
    monkeypatch.chdir(tmp_path)
    shown = [place(Path(name)) for name in ("notes", ".", "a.md", "/")]
    assert shown == ["notes/", f"{tmp_path.name}/", "a.md", "/"]


def test_a_long_message_goes_on_below_at_a_space_in_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(
        "E-LINK", ExitCode.BAD_INVITATION, "the invitation is mistyped: " + "copy it again " * 6
    )
    monkeypatch.delenv("COLUMNS", raising=False)
    assert len(lines(problem)) == 1
    monkeypatch.setenv("COLUMNS", "60")
    shown = lines(problem)
    assert len(shown) == 3
    assert max(map(len, shown)) <= 60
    assert shown[-1].endswith("[E-LINK]")


def test_one_who_leaves_tells_those_who_are_there_and_not_who_is_away() -> None:
    class Half(FakeSession):
        def status(self) -> dict[str, object]:
            return {"peers": [{"name": "ben", "state": "here"}, {"name": "anna", "state": "away"}]}

    screen = Screen()
    screen.view.leaving(Half())
    assert screen.lines() == ["leaving: telling 1 other; files stay as they are"]


def test_a_long_message_with_wide_characters_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    problem = Problem("E-NO-PEER", ExitCode.UNREACHABLE, "nobody is here; there are: " + "陳大文, " * 6)
    assert max(map(cells, lines(problem))) <= 60
