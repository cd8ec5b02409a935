"""aiortc, loaded late and kept from filling the log with the last words of its tasks."""

import asyncio
from typing import Any, Final

from peer.edge import ice, shortcuts

__all__ = ["load", "quieten"]

_HARMLESS: Final = frozenset({"Cannot send encrypted data, not connected", "Cannot send data, not connected"})
"""What aiortc's own tasks die of when a path is cut while they send (aiortc#1040)."""


def load() -> None:
    """Import the library (a third of a second) and put our hooks in."""
    import aiortc  # noqa: F401

    ice.install()
    shortcuts.is_known()  # reads source files: not when the first path opens


def quieten(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the dying words of aiortc's own tasks out of the log of *loop*."""
    if not isinstance(loop.get_exception_handler(), _QuietHandler):
        loop.set_exception_handler(_QuietHandler(loop))


class _QuietHandler:
    """A loop's exception handler that leaves out what `_HARMLESS` lists and passes on the rest."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._previous = loop.get_exception_handler()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, ConnectionError) and str(error) in _HARMLESS:
            return
        if self._previous is not None:
            self._previous(loop, context)
        else:
            loop.default_exception_handler(context)
