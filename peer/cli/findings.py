"""The doctor's answer as people read it: one line for what is good, three for what is not."""

import textwrap
from collections.abc import Sequence
from typing import Final

from peer.cli.exit_codes import ExitCode
from peer.cli.paint import paint
from peer.cli.wording import count, plain
from peer.edge.probes.finding import GROUPS, Finding, Verdict

__all__ = ["as_record", "exit_code", "legend", "lines"]

TITLE: Final = 16
"""Characters of the column with the names of checks."""
NARROWEST: Final = 50
"""Below this many columns lines are left to the terminal to break."""
TEXT_LIMIT: Final = 600
"""Characters of one text; some come from servers."""

_GLYPHS: Final = {
    Verdict.OK: ("✓", "good"),
    Verdict.NOTE: ("!", "warn"),
    Verdict.BROKEN: ("✗", "bad"),
    Verdict.SKIPPED: ("–", "dim"),
}


def exit_code(findings: Sequence[Finding]) -> ExitCode:
    """0 when all is good, 10 when it works with notes, 1 when something needed is broken."""
    verdicts = {each.verdict for each in findings}
    if Verdict.BROKEN in verdicts:
        return ExitCode.FAILURE
    return ExitCode.DEGRADED if Verdict.NOTE in verdicts else ExitCode.OK


def as_record(finding: Finding) -> dict[str, object]:
    """One finding for programs; fields are only ever added."""
    return {
        "id": finding.id,
        "title": finding.title,
        "verdict": str(finding.verdict),
        "found": finding.found,
        "cause": finding.cause,
        "do": finding.do,
        "ms": finding.ms,
        "data": dict(finding.data),
    }


def legend(color: bool) -> str:
    """What the signs mean."""
    words = {Verdict.OK: "good", Verdict.NOTE: "could be better", Verdict.BROKEN: "broken"}
    return "   ".join(f"{paint(_GLYPHS[each][0], _GLYPHS[each][1], color)} {words[each]}" for each in words)


def lines(
    findings: Sequence[Finding], *, width: int = 80, color: bool = False, server: str = ""
) -> list[str]:
    """All findings under the headings of their groups, then what they come to."""
    shown: list[str] = []
    for group, heading in GROUPS.items():
        members = [each for each in findings if each.group == group]
        if members:
            name = f"{heading} {plain(server)}" if group == "server" and server else heading
            shown += ["", paint(name, "head", color)]
            shown += [line for each in members for line in _finding(each, width, color)]
    return [*shown, "", *_conclusion(findings, width, color)]


def _finding(finding: Finding, width: int, color: bool) -> list[str]:
    glyph, style = _GLYPHS[finding.verdict]
    time = f"  ({finding.ms:.0f} ms)" if finding.ms is not None and finding.ms >= 1 else ""
    first, *rest = _wrapped(plain(finding.found, TEXT_LIMIT) + time, width)
    title = plain(finding.title, TITLE).ljust(TITLE)
    if finding.verdict is Verdict.SKIPPED:
        return [paint(line, "dim", color) for line in (f"  {glyph} {title} {first}", *map(_under, rest))]
    shown = [f"  {paint(glyph, style, color)} {title} {first}", *map(_under, rest)]
    if finding.verdict in (Verdict.NOTE, Verdict.BROKEN):
        shown += _labelled("because", finding.cause, width) + _labelled("do", finding.do, width, command=True)
    return shown


def _labelled(label: str, text: str, width: int, *, command: bool = False) -> list[str]:
    """A reason or a command below its finding; a command is never broken, so that it can be copied."""
    if not text:
        return []
    safe = plain(text, TEXT_LIMIT)
    whole = [safe] if command and len(safe) + TITLE + 5 <= width else _wrapped(safe, width)
    return [f"    {label.ljust(TITLE)} {whole[0]}", *map(_under, whole[1:])]


def _wrapped(text: str, width: int) -> list[str]:
    room = max(width, NARROWEST) - TITLE - 5
    return textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]


def _under(text: str) -> str:
    return " " * (TITLE + 5) + text


def _conclusion(findings: Sequence[Finding], width: int, color: bool) -> list[str]:
    problems = sum(each.verdict is Verdict.BROKEN for each in findings)
    notes = sum(each.verdict is Verdict.NOTE for each in findings)
    if not problems and not notes:
        return [paint("All good.", "good", color)]
    counted = [count(number, word) for number, word in ((problems, "problem"), (notes, "note")) if number]
    style = "bad" if problems else "warn"
    return [f"{paint(', '.join(counted), style, color)}   to show it to somebody:  weft report"]
