"""The server runs on uvloop where there is one, so its tests do; with WEFT_TEST_ALL=1, on both loops."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from tests.conftest import TEST_ALL


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes the loop of each test with."""
    if TEST_ALL:
        return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
