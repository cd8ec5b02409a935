"""One laboratory for all tests in here: a topology is built once, and used by whoever needs it.

WEFT_TEST_NETLAB=20   the whole matrix, this many times, and what takes minutes (`make netlab`)
"""

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import TEST_ALL
from tests.netlab.allowed import PROGRAMS, missing
from tests.netlab.lab import Lab
from tests.netlab.people import Meeting, Stage, new_stage

REPETITIONS: Final = int(os.environ.get("WEFT_TEST_NETLAB", "0"))
"""Of the whole matrix; 0: a dozen pairs of it, once."""

Measured = Callable[[str, Meeting], None]

_meetings: Final[dict[str, list[Meeting]]] = defaultdict(list)
_recoveries: Final[dict[str, list[str]]] = defaultdict(list)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in here needs the same programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.needs(*PROGRAMS))


@pytest.fixture(scope="session")
def lab(_places: Path) -> Iterator[Lab]:
    """The laboratory, or the reason why there is none."""
    if reason := missing():
        if TEST_ALL:
            pytest.fail(f"{reason}, and WEFT_TEST_ALL asks for every test", pytrace=False)
        pytest.skip(reason)
    place = _places / "lab"
    place.mkdir()
    with Lab(place) as lab:
        yield lab


@pytest.fixture(scope="session")
def stage(lab: Lab) -> Iterator[Stage]:
    """The laboratory with a server on port 443 and a TURN server."""
    stage = new_stage(lab, "main")
    yield stage
    stage.close()


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Keeps what a meeting took, for the table at the end."""
    return lambda name, meeting: _meetings[name].append(meeting)


@pytest.fixture(scope="session")
def recovered() -> Callable[[str, str], None]:
    """Keeps how long something took to go on, for the table at the end."""
    return lambda name, took: _recoveries[name].append(took)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, as tables."""
    line = terminalreporter.write_line
    if _meetings:
        terminalreporter.section("the NAT laboratory: median and slowest, in seconds")
        line(f"{'sharer - joiner':<84} runs failed  first text  from start  path")
        for name, meetings in _meetings.items():
            text = _spread([each.first_text for each in meetings])
            start = _spread([each.since_start for each in meetings])
            path = _spread([each.path_after for each in meetings if not each.failure])
            failed = sum(bool(each.failure) for each in meetings)
            words = "/".join(sorted({each.path for each in meetings}))
            line(f"{name:<84} {len(meetings):>4} {failed:>6}  {text}  {start}  {words} {path}")
    if _recoveries:
        terminalreporter.section("the NAT laboratory: editing went on, in seconds after it could")
        for name, times in _recoveries.items():
            line(f"{name:<60} {'  '.join(times)}")


def _spread(times: list[float]) -> str:
    return f"{statistics.median(times):5.2f} {max(times):5.2f}" if times else "    -     -"
