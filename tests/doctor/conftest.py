"""A place of its own for each test, where that is allowed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TEST_ALL
from tests.doctor.place import Place

NEEDED = ("ip", "nft", "nsenter", "unshare", "ss")


@pytest.fixture
def place(tmp_path: Path, patience: float) -> Iterator[Place]:
    """Two namespaces, or a skip with the reason."""
    missing = [each for each in NEEDED if shutil.which(each) is None]
    why = "needs root, to make network namespaces" if os.geteuid() else ""
    why = why or (f"needs {', '.join(missing)}, which is not installed here" if missing else "")
    if why:
        if TEST_ALL:
            pytest.fail(f"{why}, and WEFT_TEST_ALL asks for every test", pytrace=False)
        pytest.skip(why)
    made = Place(tmp_path, patience)
    try:
        yield made
    finally:
        made.close()
