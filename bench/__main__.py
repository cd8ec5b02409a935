"""Measure everything, print a table, and write it for programs and into the documentation.

    python -m bench [--quick] [--only a,c2] [--json FILE] [--write-docs]

Absolute numbers belong to the machine and the minute; ratios to a floor that was measured between ours,
in the same run, are what can be compared.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from bench import far, first_sync, folders, joining, keystroke, meeting, memory, recovering, replay, server
from bench.children import BenchFailed, BenchSkipped
from bench.pairs import Sizes
from bench.rows import Row, as_json, as_markdown, as_text

__all__ = ["MEASUREMENTS", "QUICK", "main", "run", "write_table"]

MEASUREMENTS: Final[dict[str, Callable[[Sizes], Awaitable[list[Row]]]]] = {
    "a": keystroke.measure,
    "b": folders.measure,
    "c": keystroke.measure_wire,
    "c2": replay.measure,
    "d": joining.measure,
    "e": first_sync.measure,
    "f": folders.measure_many,
    "g": server.measure,
    "h": memory.measure,
    "i": meeting.measure,
    "j": recovering.measure,
    "k": far.measure,
}
QUICK: Final = Sizes(
    repeat=1,
    strokes=0.3,
    patches=500,
    text_size=50_000,
    files=20,
    joins=2,
    seconds=0.1,
    connections=50,
    peers=1,
    typing=0.5,
    troubles=1,
    far_strokes=1.0,
)
"""Does everything work?  What it prints says nothing about speed."""
DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "performance.md"
MARKERS: Final = ("<!-- table: begin -->", "<!-- table: end -->")
LIBRARIES: Final = ("aiortc", "aioice", "pycrdt", "aiohttp", "uvloop")


@dataclass
class Found:
    """What a run has brought: rows, and a sentence for each measurement that failed or is impossible here."""

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


async def run(names: Sequence[str], sizes: Sizes) -> Found:
    """Measure what is named."""
    all_found = Found()
    for name in names:
        began = time.monotonic()
        try:
            found = await MEASUREMENTS[name](sizes)
        except BenchSkipped as reason:
            all_found.skipped.append(f"{name}: {reason}")
            continue
        except BenchFailed as error:
            all_found.failures.append(f"{name}: {str(error).strip().splitlines()[-1]}")
            print(f"({name}) failed:\n{error}", file=sys.stderr)
            continue
        all_found.rows += found
        print(
            f"({name}) took {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}", file=sys.stderr
        )
        print(as_text(found), end="\n\n", flush=True)
    return all_found


def environment() -> dict[str, object]:
    """Where and when the numbers were made."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "load_average": os.getloadavg(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def summary(where: dict[str, object], load_before: float) -> str:
    """One sentence about *where*."""
    libraries = where["libraries"]
    assert isinstance(libraries, dict)
    used = ", ".join(f"{name} {number}" for name, number in libraries.items())
    return (
        f"Measured {where['date']}: {where['cores']} cores ({where['processor']}), Linux {where['kernel']}, "
        f"Python {where['python']}, {used}; load average {load_before:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after."
    )


def write_table(document: str, table: str) -> str:
    """The document with *table* in the place of the one between the markers.

    Raises:
        ValueError: it has no such place.
    """
    before, begin, rest = document.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not begin or not end:
        raise ValueError(f"the document has no {MARKERS[0]} and {MARKERS[1]}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: only whether everything works")
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(MEASUREMENTS)}")
    parser.add_argument("--json", metavar="FILE", help="write the numbers of every repetition there")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    arguments = parser.parse_args()
    arguments.names = arguments.only.split(",") if arguments.only else list(MEASUREMENTS)
    if unknown := set(arguments.names) - set(MEASUREMENTS):
        parser.error(f"there is no measurement {', '.join(sorted(unknown))}")
    if arguments.write_docs and (arguments.quick or arguments.only):
        parser.error("the documentation holds whole runs only: leave out --quick and --only")
    return arguments


def main() -> int:
    """Run as the command line says; 1 if a measurement failed."""
    arguments = parse()
    load_before = os.getloadavg()[0]
    sizes = QUICK if arguments.quick else Sizes()
    found = asyncio.run(run(arguments.names, sizes))
    where = environment()
    sentence = summary(where, load_before)
    print(sentence)
    if arguments.json:
        content = {
            "environment": where,
            "load_before": load_before,
            "rows": [as_json(row) for row in found.rows],
            "skipped": found.skipped,
        }
        Path(arguments.json).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if arguments.write_docs and not (found.failures or found.skipped):
        document = DOCUMENT.read_text(encoding="utf-8")
        DOCUMENT.write_text(
            write_table(document, f"{sentence}\n\n{as_markdown(found.rows)}"), encoding="utf-8"
        )
    missed = [f"{row.key}: {row.what}" for row in found.rows if row.met is False]
    _tell("goals missed", [] if arguments.quick else missed)
    _tell("cannot be measured here", found.skipped)
    _tell("could not be measured", found.failures)
    return 1 if found.failures else 0


def _tell(what: str, lines: Sequence[str]) -> None:
    if lines:
        print(f"{what}:\n  " + "\n  ".join(lines))


if __name__ == "__main__":
    sys.exit(main())
