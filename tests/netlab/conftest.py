"""One laboratory for all tests in here: a topology is built once, and used by whoever needs it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import TEST_ALL
from tests.netlab.lab import Lab

PROGRAMS: Final = ("unshare", "nsenter", "ip", "nft", "conntrack", "turnserver")
ALLOWED: Final = [
    "unshare",
    "--mount",
    "--net",
    "--",
    "sh",
    "-c",
    "mount -t tmpfs tmpfs /run && nft list ruleset",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in here needs the same programs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.needs(*PROGRAMS))


def _missing() -> str:
    """Why there can be no laboratory here, or nothing."""
    if os.geteuid() != 0:
        return "needs root, because it makes network namespaces"
    tried = subprocess.run(ALLOWED, capture_output=True, text=True, check=False)
    return f"may not make network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""


@pytest.fixture(scope="session")
def lab(_places: Path) -> Iterator[Lab]:
    """The laboratory, or the reason why there is none."""
    if missing := _missing():
        if TEST_ALL:
            pytest.fail(f"{missing}, and WEFT_TEST_ALL asks for every test", pytrace=False)
        pytest.skip(missing)
    place = _places / "lab"
    place.mkdir()
    with Lab(place) as lab:
        yield lab
