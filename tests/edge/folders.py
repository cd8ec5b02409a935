"""A folder under test: keeps every event, and waits for the ones a test asks for."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from peer.core.actions import FileAction, MoveFile, ReadFile
from peer.core.events import (
    DisplacedChanged,
    FileEvent,
    FileReplaced,
    FileSeen,
    FileTrouble,
    ReplaceRefused,
    ScanFinished,
)
from peer.edge.change_source import ChangeSource
from peer.edge.exchange import Renames
from peer.edge.folder import Folder
from peer.edge.watcher import Watcher, best_source

E = TypeVar("E", bound=FileEvent)

LIMIT = 10.0
"""Seconds after which a condition counts as never coming true; a busy machine is slow."""


def digest(content: bytes) -> bytes:
    return sha256(content).digest()


def content_of(event: FileEvent) -> bytes | None:
    """What an event tells the core that the disk held."""
    match event:
        case FileSeen(content=content) | DisplacedChanged(content=content) | ReplaceRefused(content=content):
            return content
        case FileReplaced(displaced=displaced):
            return displaced
        case _:
            return None


class Room(AbstractAsyncContextManager["Room"]):
    """An open folder, watched if asked for, and what it said."""

    def __init__(
        self,
        path: Path,
        *,
        watched: bool = False,
        source: Callable[[Folder], ChangeSource] = best_source,
        renames: Renames | None = None,
        limit: int = 16 * 1024 * 1024,
        on_event: Callable[[FileEvent], None] = lambda event: None,
    ) -> None:
        self.path = path
        self.events: list[FileEvent] = []
        self._on_event = on_event
        self._news = asyncio.Event()
        self.folder = Folder(path, self._take, renames=renames, limit=limit)
        self.watcher = Watcher(self.folder, source) if watched else None

    def _take(self, event: FileEvent) -> None:
        self.events.append(event)
        self._news.set()
        self._on_event(event)

    async def __aenter__(self) -> "Room":
        if self.watcher:
            await self.watcher.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self.watcher:
            await self.watcher.close()
        await self.folder.close()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def event(self, kind: type[E], fits: Callable[[E], bool] = lambda event: True, start: int = 0) -> E:
        """The first event of this kind that fits, at or after position *start*."""
        found: list[E] = []

        def is_there() -> bool:
            found.extend(event for event in self.events[start:] if isinstance(event, kind) and fits(event))
            return bool(found)

        await self.until(is_there)
        return found[0]

    async def answers(self, action: FileAction) -> list[FileEvent]:
        """Everything that is said between *action* and the end of it."""
        start = len(self.events)
        self.folder.submit(action)
        await self.idle()
        return self.events[start:]

    async def idle(self) -> None:
        """Wait until everything that was asked for so far is done."""
        start = len(self.events)
        self.folder.submit(ReadFile(".weft"))
        mark = await self.event(FileTrouble, lambda event: event.path == ".weft", start)
        self.events.remove(mark)

    async def ask(self, action: FileAction) -> FileEvent:
        """The one answer to *action*."""
        said = await self.answers(action)
        assert len(said) == 1, said
        answer = said[0]
        if not isinstance(action, MoveFile):
            assert getattr(answer, "path", None) == action.path
        return answer

    async def scan(self, known: tuple[str, ...] = ()) -> list[FileEvent]:
        """What the scan reports, without the end mark."""
        start = len(self.events)
        self.folder.scan(known)
        await self.event(ScanFinished, start=start)
        return [event for event in self.events[start:] if not isinstance(event, ScanFinished)]

    def contents(self, path: str) -> list[bytes | None]:
        """All that was reported about *path*, in order."""
        return [content_of(event) for event in self.events if getattr(event, "path", None) == path]
