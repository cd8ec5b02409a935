"""A network of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TEST_ALL
from tests.lan.network import Network, missing


@pytest.fixture
def network(_places: Path, request: pytest.FixtureRequest) -> Iterator[Network]:
    """A switch in a namespace of its own; what was said is shown when the test fails."""
    reason = missing()
    if reason is not None:
        if TEST_ALL:
            pytest.fail(f"{reason}, and WEFT_TEST_ALL asks for every test", pytrace=False)
        pytest.skip(reason)
    network = Network(_places / f"lan-{abs(hash(request.node.nodeid)) % 10**8}")
    try:
        yield network
        print(network.last_words())
    finally:
        network.close()
