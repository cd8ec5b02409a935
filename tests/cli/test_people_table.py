"""The table of `weft status`, at any width."""

from pathlib import Path

import pytest

from peer.cli.errors import Failure
from peer.cli.people_table import lines, short, worst
from peer.cli.sessions import choose
from peer.cli.wording import cells

BEN: dict[str, object] = {
    "name": "ben",
    "state": "editing",
    "path": "lan",
    "address": "192.168.1.23:41233",
    "rtt_ms": 2.4,
    "sent_bytes": 41_000,
    "received_bytes": 12_000,
    "file": "chapters/one.md",
    "waiting": 0,
}
CHEN: dict[str, object] = {
    "name": "chen",
    "state": "idle",
    "idle_s": 200.0,
    "path": "turn",
    "address": "203.0.113.9:49160",
    "rtt_ms": 61.0,
    "sent_bytes": 9_000,
    "received_bytes": 1_000,
    "file": None,
    "waiting": 1,
    "why_not_direct": "it took too long",
}
DORA: dict[str, object] = {"name": "dora", "state": "away", "heard_s": 47.0, "silent": True, "waiting": 12}
SESSION: dict[str, object] = {
    "folder": "/x/notes",
    "role": "owner",
    "files": 14,
    "uptime_s": 7440.0,
    "server": {"url": "wss://pad.example.org/ws", "state": "connected"},
    "peers": [BEN, CHEN, DORA],
}


def test_a_wide_terminal_shows_everything() -> None:
    shown = lines(SESSION)
    ben = "ben editing on this network 192.168.1.23:41233 2 ms 41 kB / 12 kB chapters/one.md"
    assert shown[2].split() == ben.split()
    assert " idle 3 min  relayed by TURN at 203.0.113.9:49160  61 ms  9 kB / 1 kB" in shown[3]
    assert shown[3].endswith("(1 edit waits)")
    assert " ".join(shown[4].split()) == "dora away last heard 47 s ago - - (12 edits wait)"
    assert len({line.index(cell) for line, cell in zip(shown[2:4], ("2 ms", "61 ms"), strict=True)}) == 1
    assert shown[5] == "  note  chen is relayed: it took too long   weft doctor --peer chen"


@pytest.mark.parametrize("width", range(40, 160, 5))
@pytest.mark.parametrize("folder", ["/x/notes", "/a/folder/that/is/far/down/in/the/tree/of/its/owner/notes"])
def test_nothing_is_wider_than_the_terminal_and_everybody_is_there(width: int, folder: str) -> None:
    shown = lines({**SESSION, "folder": folder}, width=width)
    assert max(map(len, shown)) <= width, "\n".join(shown)
    for name in ("ben", "chen", "dora"):
        assert any(line.startswith(f"  {name} ") for line in shown)


def test_wide_names_leave_the_columns_straight() -> None:
    wide = {**BEN, "name": "陳大文"}  # three characters that take six columns
    shown = lines({**SESSION, "peers": [BEN, wide]})
    head, ben, chen = shown[1], shown[2], shown[3]
    assert head.index("STATE") == ben.index("editing") == chen.index("editing") + 3
    assert (cells("e\u0301"), cells("ｃ"), cells("👩\u200d💻")) == (1, 2, 4)


def test_colour_stands_beside_words_and_changes_no_width() -> None:
    plain, painted = lines(SESSION, width=100), lines(SESSION, width=100, color=True)
    assert any("\x1b[32mediting" in line for line in painted)
    bare = [line.replace("\x1b[0m", "") for line in painted]
    for code in ("\x1b[32m", "\x1b[33m", "\x1b[2m"):
        bare = [line.replace(code, "") for line in bare]
    assert bare == plain


def test_a_prompt_gets_one_short_line() -> None:
    assert short([{**SESSION, "peers": []}]) == "nobody else"
    assert short([{**SESSION, "peers": [BEN]}]) == "1 other, direct"
    assert short([SESSION]) == "3 others: 1 direct, 1 relayed, 1 away"


def test_the_worst_is_whoever_is_not_reached_directly() -> None:
    assert not worst([{**SESSION, "peers": [BEN]}])
    assert worst([{**SESSION, "peers": [BEN, CHEN]}])
    assert worst([{**SESSION, "peers": [{**BEN, "silent": True}]}])
    assert not worst([])


def test_somebody_whom_two_sessions_of_this_machine_know_is_one_person() -> None:
    def knows(folder: str, number: str) -> tuple[Path, dict[str, object]]:
        return Path(folder), {"peers": [{"id": number, "name": "ben"}]}

    assert choose("Ben", [knows("here", "1"), knows("there", "1")])[0] == Path("here")
    with pytest.raises(Failure, match="2 people are called ben"):
        choose("ben", [knows("here", "1"), knows("there", "1"), knows("else", "2")])
