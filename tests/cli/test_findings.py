"""The doctor's answer, line for line."""

import pytest

from peer.cli.exit_codes import ExitCode
from peer.cli.findings import as_record, exit_code, legend, lines
from peer.edge.probes.finding import Finding, broken, note, ok, skipped

GOOD = ok("server.reach", "server", "pad.example.org answers", ms=31.2)
COULD_BE_BETTER = note(
    "computer.watches",
    "file watching",
    "61,210 of 65,536 watches used by your programs",
    cause="a larger folder will not fit; Weft then polls, and sees others' saves later",
    do="sudo sysctl fs.inotify.max_user_watches=524288",
)
WRONG = broken(
    "server.turn_udp", "TURN udp", "it refuses the credential", cause="secrets differ", do="ask\x1b[2J"
)
LEFT_OUT = skipped("internet.udp", "UDP out", "a server would tell which STUN and TURN servers to ask")


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([GOOD, LEFT_OUT], ExitCode.OK),
        ([GOOD, COULD_BE_BETTER], ExitCode.DEGRADED),
        ([COULD_BE_BETTER, WRONG], ExitCode.FAILURE),
        ([], ExitCode.OK),
    ],
)
def test_the_exit_code_is_that_of_the_worst_finding(findings: list[Finding], code: ExitCode) -> None:
    assert exit_code(findings) == code


def test_what_is_good_takes_one_line_and_what_is_not_says_why_and_what_helps() -> None:
    shown = lines([GOOD, COULD_BE_BETTER, WRONG, LEFT_OUT], width=80, server="pad.example.org")
    assert shown == [
        "",
        "This computer",
        "  ! file watching    61,210 of 65,536 watches used by your programs",
        "    because          a larger folder will not fit; Weft then polls, and sees",
        "                     others' saves later",
        "    do               sudo sysctl fs.inotify.max_user_watches=524288",
        "",
        "Internet",
        "  – UDP out          a server would tell which STUN and TURN servers to ask",
        "",
        "Server pad.example.org",
        "  ✓ server           pad.example.org answers  (31 ms)",
        "  ✗ TURN udp         it refuses the credential",
        "    because          secrets differ",
        "    do               ask\ufffd[2J",
        "",
        "1 problem, 1 note   to show it to somebody:  weft report",
    ]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_but_a_command_is_wider_than_the_terminal(width: int) -> None:
    long = note("lan.multicast", "local discovery", "word " * 60, cause="reason " * 40, do="command " * 3)
    assert max(map(len, lines([long, GOOD], width=width))) <= width


def test_colour_stands_beside_signs_and_words() -> None:
    assert "\x1b[32m✓\x1b[0m good" in legend(color=True)
    assert legend(color=False) == "✓ good   ! could be better   ✗ broken"
    assert lines([GOOD], color=True)[-1] == "\x1b[32mAll good.\x1b[0m"


def test_a_record_has_every_field() -> None:
    assert as_record(WRONG) == {
        "id": "server.turn_udp",
        "title": "TURN udp",
        "verdict": "broken",
        "found": "it refuses the credential",
        "cause": "secrets differ",
        "do": "ask\x1b[2J",
        "ms": None,
        "data": {},
    }
