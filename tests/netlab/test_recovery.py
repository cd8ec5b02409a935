"""What goes wrong in the middle of a session: editing goes on, and everything typed is there once.

With all other tests the waits are short; `make netlab` makes them as long as they are in life.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import PATIENCE
from tests.netlab.conftest import REPETITIONS
from tests.netlab.lab import Lab
from tests.netlab.troubles import FULL, RECOVERY_SECONDS, SHORT, Scene, play, troubles

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

TROUBLES: Final = troubles(FULL if REPETITIONS else SHORT)
SEED: Final = int(os.environ.get("SEED", "1"))
AT_ONCE: Final = 2 if REPETITIONS else 5
"""Scenes; each is mostly waiting, and two measure better than five."""


@pytest.fixture(scope="module")
def scenes(lab: Lab, request: pytest.FixtureRequest) -> Iterator[dict[str, "Future[Scene]"]]:
    """All scenes that the selected tests ask for, as they take place in the background."""
    chosen = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    names = [call.params["name"] for call in chosen if call is not None and "name" in call.params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            name: pool.submit(play, lab, TROUBLES[name], f"t{list(TROUBLES).index(name)}", SEED)
            for name in names
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", [name for name in TROUBLES if REPETITIONS or TROUBLES[name].always])
def test_editing_goes_on_after(
    name: str, scenes: dict[str, "Future[Scene]"], recovered: Callable[[str, str], None]
) -> None:
    scene = scenes[name].result()
    seconds = TROUBLES[name].seconds
    recovered(f"{name}{f' for {seconds:g} s' if seconds else ''}", " ".join(f"{t:5.2f}" for t in scene.took))
    if scene.failure:
        pytest.fail(scene.failure, pytrace=False)
    if max(scene.took) > RECOVERY_SECONDS * PATIENCE:
        pytest.fail(f"writing arrived after {scene.took} s{scene.story()}", pytrace=False)
