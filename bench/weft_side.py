"""One member of a session, as a process of a measurement: the public API and nothing below it."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import peer.api
from bench.texts import load_trace, load_two_authors, make_text, record
from bench.udp import Meter
from peer.api import Session, Text
from peer.core.notices import FileChanged, Notice, PeerJoined, PeerPath
from peer.errors import WeftError

__all__ = ["EDITS_PER_TURN", "Side"]

EDITS_PER_TURN: Final = 64
"""Edits of a replay between two turns of the loop: a program that types as fast as it can."""
PATIENCE: Final = 100.0


class Arrivals:
    """When each character of a text was here; the text only grows."""

    def __init__(self, text: Text) -> None:
        self.times: list[int] = []
        self._text = text
        self._base = len(text)
        self._changed = asyncio.Event()
        # told at the end of the engine's transaction: the moment the document has changed
        self._observing = text.doc.observe(self._on_change)

    def _on_change(self, event: object) -> None:
        now = time.monotonic_ns()
        self.times += [now] * (len(self._text) - self._base - len(self.times))
        self._changed.set()

    async def wait(self, count: int) -> list[int]:
        """The times of *count* characters, as soon as they are all here."""
        async with asyncio.timeout(PATIENCE):
            while len(self.times) < count:
                self._changed.clear()
                await self._changed.wait()
        self._text.doc.unobserve(self._observing)
        return self.times


class Side:
    """The commands of one member."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._sessions: list[Session] = []
        self._arrivals: Arrivals | None = None
        self._meter: Meter | None = None
        self._notices: list[tuple[int, Notice]] = []
        self._told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def _session(self) -> Session:
        return self._sessions[-1]

    # --- coming and going -----------------------------------------------------------------------------

    async def do_load(self) -> None:
        """Import what a first direct path would import."""
        import aiortc  # noqa: F401

    async def do_count(self) -> None:
        """Count datagrams from now on; before any path is made."""
        self._meter = Meter()

    async def do_share(self, server: str, folder: str | None = None, policy: str = "auto") -> str:
        """Start a session; return the invitation."""
        opening = peer.api.share(folder, server=server, name="ana", path_policy=policy)
        self._enter(await self._stack.enter_async_context(opening))
        return self._session.link

    async def do_join(self, link: str, folder: str | None = None, policy: str = "auto") -> dict[str, int]:
        """Join; return when that began and ended."""
        began = time.monotonic_ns()
        opening = peer.api.join(link, folder, name="ben", path_policy=policy)
        self._enter(await self._stack.enter_async_context(opening))
        return {"began": began, "entered": time.monotonic_ns()}

    async def do_join_for_text(self, link: str, name: str) -> dict[str, int]:
        """Join; return when that began, when the first text was here, and when the path was direct."""
        moments = await self.do_join(link)
        text = self._session.text(name)
        here = asyncio.Event()
        observing = text.doc.observe(lambda event: here.set())
        async with asyncio.timeout(PATIENCE):
            if not len(text):
                await here.wait()
            moments["text"] = time.monotonic_ns()
            text.doc.unobserve(observing)
            moments["direct"] = await self.do_path("direct")
        return moments

    def _enter(self, session: Session) -> None:
        self._sessions.append(session)
        self._notices.clear()
        self._tasks.append(asyncio.create_task(self._listen(session)))

    async def _listen(self, session: Session) -> None:
        with contextlib.suppress(WeftError):
            async for notice in session.events():
                self._notices.append((time.monotonic_ns(), notice))
                self._told.set()

    async def do_leave(self) -> None:
        """Leave all sessions."""
        await self._stack.aclose()
        self._sessions.clear()
        await asyncio.gather(*self._tasks)
        self._tasks.clear()

    async def _first(self, wanted: Callable[[Notice], bool]) -> int:
        async with asyncio.timeout(PATIENCE):
            while True:
                self._told.clear()
                for at, notice in self._notices:
                    if wanted(notice):
                        return at
                await self._told.wait()

    async def do_path(self, path: str) -> int:
        """Wait until a peer is reached over *path*; return when that was told."""
        return await self._first(lambda notice: isinstance(notice, PeerPath) and notice.path == path)

    async def do_met(self) -> int:
        """Wait for the first peer; return when that was told."""
        return await self._first(lambda notice: isinstance(notice, PeerJoined))

    async def do_peers(self, count: int) -> None:
        """Wait until *count* peers are here over direct paths."""
        async with asyncio.timeout(PATIENCE):
            while sum(peer.path == "direct" for peer in self._session.peers) < count:
                self._told.clear()
                await self._told.wait()

    # --- key strokes ----------------------------------------------------------------------------------

    async def do_expect(self, name: str) -> None:
        """Note from now on when characters arrive at the end of *name*."""
        self._arrivals = Arrivals(self._session.text(name))

    async def do_arrived(self, count: int) -> list[int]:
        """When each of *count* characters was here."""
        assert self._arrivals is not None
        return await self._arrivals.wait(count)

    async def do_type(self, name: str, count: int, rate: float) -> list[int]:
        """Type *count* characters, *rate* a second; return when each key was struck."""
        text = self._session.text(name)
        times = []
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            times.append(time.monotonic_ns())
            text.append("abcdefghijklmnopqrstuvwxyz "[number % 27])
        return times

    async def do_traffic(self) -> dict[str, int]:
        """What went over UDP so far, and what the links count themselves."""
        assert self._meter is not None
        peers = self._session.peers
        return {**self._meter.read(), "link_bytes": sum(peer.sent_bytes for peer in peers)}

    async def do_pause(self, seconds: float) -> None:
        """Do nothing."""
        await asyncio.sleep(seconds)

    # --- replays --------------------------------------------------------------------------------------

    async def do_replay(self, name: str, trace: str, count: int | None, recorded: bool) -> dict[str, int]:
        """Type a trace as fast as it goes, or hand over updates made from it before."""
        text = self._session.text(name)
        wanted = load_trace(trace).first(count)
        updates = record(wanted, text.doc.client_id) if recorded else []
        began = time.monotonic_ns()
        for start in range(0, len(wanted.patches), EDITS_PER_TURN):
            stop = start + EDITS_PER_TURN
            if recorded:
                for update in updates[start:stop]:
                    text.doc.apply_update(update)
            else:
                for patch in wanted.patches[start:stop]:
                    text.edit(*patch)
            await asyncio.sleep(0)
        typed = time.monotonic_ns()
        if str(text) != wanted.end:
            raise ValueError(f"{trace} came to a text of {len(text)} instead of {len(wanted.end)} here")
        return {"began": began, "typed": typed, "edits": len(wanted.patches)}

    async def do_replayed(self, name: str, trace: str, count: int | None) -> int:
        """Wait until the text is what the trace ends with; return when that was so."""
        return await self._become(self._session.text(name), load_trace(trace).first(count).end)

    async def _become(self, text: Text, end: str) -> int:
        moments = [time.monotonic_ns()]
        changed = asyncio.Event()

        def on_change(event: object) -> None:
            moments[0] = time.monotonic_ns()
            changed.set()

        observing = text.doc.observe(on_change)
        async with asyncio.timeout(PATIENCE):
            while len(text) != len(end) or str(text) != end:
                changed.clear()
                await changed.wait()
        text.doc.unobserve(observing)
        return moments[0]

    async def do_client(self, name: str) -> int:
        """The CRDT client id of *name*."""
        return self._session.text(name).doc.client_id

    async def do_author(
        self, name: str, trace: str, count: int | None, clients: tuple[int, int], me: int, start_at: int
    ) -> int:
        """Be one of two authors: hand over each update once what it was typed on top of is here."""
        text = self._session.text(name)
        both = load_two_authors(trace, (clients[0], clients[1]), count)
        changed = asyncio.Event()
        observing = text.doc.observe(lambda event: changed.set())
        await asyncio.sleep(max(0.0, (start_at - time.monotonic_ns()) / 1e9))
        have = 0
        for number, (need, update) in enumerate(both.steps[me]):
            while have < need:
                changed.clear()
                have = _clock(text.doc.get_state(), clients[1 - me])
                if have < need:
                    await asyncio.wait_for(changed.wait(), PATIENCE)
            text.doc.apply_update(update)
            if number % EDITS_PER_TURN == 0:
                await asyncio.sleep(0)
        text.doc.unobserve(observing)
        return await self._become(text, both.end)

    # --- whole texts ----------------------------------------------------------------------------------

    async def do_fill(self, names: list[str], size: int, kind: str) -> None:
        """Make texts of *size* characters."""
        for seed, name in enumerate(names):
            self._session.text(name).append(make_text(kind, size, seed))

    async def do_have(self, names: list[str], size: int, kind: str) -> dict[str, int]:
        """Wait until these texts are here, and check them; return when the last one was."""
        texts = [self._session.text(name) for name in names]
        last = [time.monotonic_ns()]
        changed = asyncio.Event()

        def on_change(event: object) -> None:
            last[0] = time.monotonic_ns()
            changed.set()

        observing = [(text, text.doc.observe(on_change)) for text in texts]
        async with asyncio.timeout(PATIENCE):
            while any(len(text) < size for text in texts):
                changed.clear()
                await changed.wait()
        for text, subscription in observing:
            text.doc.unobserve(subscription)
        for seed, text in enumerate(texts):
            if str(text) != make_text(kind, size, seed):
                raise ValueError(f"{text.name} is not what was sent")
        return {"last": last[0]}

    # --- files ----------------------------------------------------------------------------------------

    async def do_files(self, count: int) -> None:
        """Wait until the session has *count* files."""
        async with asyncio.timeout(PATIENCE):
            while self._session.files < count:
                self._told.clear()
                await self._told.wait()

    async def do_changes(self) -> int:
        """How many changes of files were told."""
        return sum(isinstance(notice, FileChanged) for _, notice in self._notices)

    # --- memory ---------------------------------------------------------------------------------------

    async def do_memory(self) -> int:
        """Resident bytes of this process."""
        import gc

        gc.collect()
        values = await asyncio.to_thread(Path("/proc/self/statm").read_text)
        return int(values.split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _clock(state: bytes, client: int) -> int:
    """How many clocks of *client* a state vector holds."""
    numbers: list[int] = []
    value = shift = 0
    for byte in state:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
    pairs: dict[Any, int] = dict(zip(numbers[1::2], numbers[2::2], strict=True))
    return pairs.get(client, 0)
