"""Those who listen to a session, quick or slow."""

import asyncio

import pytest

from peer.core.notices import FileChanged, Notice, Warned
from peer.edge import listeners as listeners_module
from peer.edge.listeners import Listeners


def change(number: int) -> FileChanged:
    return FileChanged(f"{number}.md", "edited", "ben")


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners_module, "NOTICES_KEPT", 5)
    monkeypatch.setattr(listeners_module, "NOTICES_WAITING", 10)


async def rest(listeners: Listeners) -> list[Notice]:
    """What one who begins to listen now is told until the end."""
    listeners.end()
    return [notice async for notice in listeners.listen()]


async def test_who_comes_late_hears_what_was_told_before() -> None:
    listeners = Listeners()
    listeners.tell(change(1))
    listeners.tell(change(2))
    assert await rest(listeners) == [change(1), change(2)]
    assert await rest(listeners) == [change(1), change(2)]


async def test_who_comes_too_late_for_the_first_ones_is_told_how_many_are_missing() -> None:
    listeners = Listeners()
    for number in range(8):
        listeners.tell(change(number))
    first, *others = await rest(listeners)
    assert isinstance(first, Warned)
    assert first.code == "W-EVENTS"
    assert "3" in first.message
    assert others == [change(number) for number in range(3, 8)]


async def test_a_slow_listener_loses_the_oldest_and_is_told_once_at_the_right_place() -> None:
    listeners = Listeners()
    listening = listeners.listen()
    listeners.tell(change(0))
    assert await anext(listening) == change(0)
    for number in range(1, 26):
        listeners.tell(change(number))
    warning = await anext(listening)
    assert isinstance(warning, Warned)
    assert "15" in warning.message
    assert [await anext(listening) for _ in range(10)] == [change(number) for number in range(16, 26)]
    listeners.tell(change(26))
    assert await anext(listening) == change(26)


async def test_a_slow_listener_costs_the_others_nothing() -> None:
    listeners = Listeners()
    slow, quick = listeners.listen(), listeners.listen()
    listeners.tell(change(0))
    await anext(slow)
    heard = []
    for number in range(1, 30):
        listeners.tell(change(number))
        if number == 1:
            assert await anext(quick) == change(0)
        heard.append(await anext(quick))
    assert heard == [change(number) for number in range(1, 30)]


async def test_all_that_was_told_is_heard_before_the_end() -> None:
    listeners = Listeners()
    heard: list[Notice] = []

    async def hear() -> None:
        async for notice in listeners.listen():
            heard.append(notice)
            await asyncio.sleep(0)

    task = asyncio.create_task(hear())
    await asyncio.sleep(0)
    for number in range(4):
        listeners.tell(change(number))
    listeners.end()
    await asyncio.wait_for(task, 5)
    assert heard == [change(number) for number in range(4)]


async def test_who_stops_listening_holds_nothing() -> None:
    listeners = Listeners()
    listening = listeners.listen()
    listeners.tell(change(0))
    await anext(listening)
    assert len(listeners._queues) == 1
    await listening.aclose()
    assert listeners._queues == []
