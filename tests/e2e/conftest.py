"""A place to run real programs in."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.town import Town


@pytest.fixture
def town(_places: Path, request: pytest.FixtureRequest, patience: float) -> Iterator[Town]:
    """Processes and folders of one test; what they said is shown when it fails."""
    place = _places / f"town-{abs(hash(request.node.nodeid)) % 10**8}"
    place.mkdir()
    town = Town(place, patience)
    try:
        yield town
        failed = False
    finally:
        report = getattr(request.node, "rep_call", None)
        failed = report is None or report.failed
        if failed:
            print(town.last_words())
        town.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Let fixtures know whether their test failed."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    setattr(item, f"rep_{report.when}", report)
