"""Asking several at once and taking the first good answer."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

__all__ = ["first"]

_T = TypeVar("_T")


async def _nothing(_: object) -> None:
    """Nothing is to be done with an answer that came second."""


async def first(
    work: Sequence[Coroutine[Any, Any, _T]], spare: Callable[[_T], Coroutine[Any, Any, None]] = _nothing
) -> _T | None:
    """Return what the first of *work* to succeed returns, end the others, and do *spare* with theirs."""
    tasks = [asyncio.ensure_future(each) for each in work]
    waiting = set(tasks)
    results: list[_T] = []
    try:
        while waiting and not results:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            results = [task.result() for task in done if task.exception() is None]
    finally:
        for task in waiting:
            task.cancel()
        late = await asyncio.gather(*waiting, return_exceptions=True)
        results += [task.result() for task, end in zip(waiting, late, strict=True) if _succeeded(task, end)]
        for extra in results[1:]:
            await spare(extra)
    return results[0] if results else None


def _succeeded(task: "asyncio.Future[Any]", end: object) -> bool:
    return not task.cancelled() and not isinstance(end, BaseException)
