"""What all tests share: settings of Hypothesis, folders of their own, and tools that may be missing.

WEFT_TEST_ALL=1        a tool that is missing is a failure, not a skip
WEFT_TEST_PATIENCE=4   every limit in time is four times as long, for slow machines
WEFT_TEST_PROFILE=soak many more examples of everything (`make soak`)
SEED=7                 the seed of the tests that draw their own numbers; without it they are fixed
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

__all__: list[str] = []

PATIENCE: Final = float(os.environ.get("WEFT_TEST_PATIENCE", "1"))
TEST_ALL: Final = os.environ.get("WEFT_TEST_ALL", "") not in ("", "0")
TIMEOUT_SECONDS: Final = 60.0
"""For one test, as in pyproject.toml; stretched with everything else."""

_OURS: Final = ("WEFT_CONFIG_DIR", "WEFT_DATA_DIR", "WEFT_RUNTIME_DIR")
_numbers = itertools.count()

settings.register_profile(
    "check", derandomize=True, max_examples=60, deadline=None, database=None, print_blob=True
)
settings.register_profile(
    "soak",
    max_examples=5_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("WEFT_TEST_PROFILE", "check"))


def pytest_configure(config: pytest.Config) -> None:
    """Announce our marker, and stretch the limit of each test for slow machines."""
    config.addinivalue_line("markers", "needs(*programs): skipped where one of these is not installed")
    if PATIENCE != 1 and config.option.timeout is None:
        config.option.timeout = TIMEOUT_SECONDS * PATIENCE


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are not here, or fail it where everything has to be run."""
    for marker in item.iter_markers("needs"):
        missing = [program for program in marker.args if shutil.which(program) is None]
        if missing:
            message = f"needs {', '.join(missing)}, which is not installed here"
            if TEST_ALL:
                pytest.fail(f"{message}, and WEFT_TEST_ALL asks for every test", pytrace=False)
            pytest.skip(message)


@pytest.fixture(scope="session")
def patience() -> float:
    """What to multiply every limit in time with."""
    return PATIENCE


@pytest.fixture(scope="session")
def _places() -> Iterator[Path]:
    # not pytest's own tmp_path: a Unix socket's path has at most 104 characters
    place = Path(tempfile.mkdtemp(prefix="weft-"))
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(autouse=True)
def _own_directories(_places: Path) -> Iterator[None]:
    """Give each test its own key, data and sockets, and nothing of what the person has set."""
    place = _places / str(next(_numbers))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WEFT_") and "_TEST_" not in name]:
            patch.delenv(name)
        for name in _OURS:
            patch.setenv(name, str(place / name.split("_")[1].lower()))
        patch.setenv("WEFT_NO_LAN", "1")  # tests that are not about it would find those beside them
        yield
