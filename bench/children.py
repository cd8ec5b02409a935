"""The processes of a measurement, as the parent sees them."""

import asyncio
import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.worker import LINE_LIMIT

__all__ = [
    "LOOPBACK",
    "PATIENCE",
    "BenchFailed",
    "BenchSkipped",
    "Child",
    "Spot",
    "child",
    "signaling_server",
]

PATIENCE: Final = 120.0
"""Seconds for one command: a stall must end the run with a word, not hang it."""
GOODBYE: Final = 10.0
"""Seconds for a process to end by itself."""


class BenchFailed(Exception):
    """A process of the benchmark failed; the sentence or traceback says how."""


class BenchSkipped(BenchFailed):
    """It cannot be measured on this machine, or by this user; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a process runs.

    Attributes:
        address: its IP address, as others reach it.
        inside: goes before a command, and becomes it there.
    """

    address: str
    inside: tuple[str, ...] = ()


LOOPBACK: Final = Spot("127.0.0.1")


class Child:
    """A process that runs one `Side`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    async def do(self, command: str, /, **values: object) -> Any:
        """Have a command done; return what it returned.

        Raises:
            BenchFailed: it failed, or took longer than `PATIENCE`.
        """
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": command, "with": values}).encode() + b"\n")
        try:
            return await asyncio.wait_for(answer, PATIENCE)
        except TimeoutError as error:
            raise BenchFailed(f"{command} took longer than {PATIENCE:g} s") from error
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer["id"])
            if waiting is None or waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(BenchFailed(answer["error"]))
            else:
                waiting.set_result(answer["value"])
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BenchFailed("the process ended"))

    async def end(self) -> None:
        """Let the process end, or end it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), GOODBYE)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reading


@contextlib.asynccontextmanager
async def child(module: str, loop: str = "uvloop", spot: Spot = LOOPBACK) -> AsyncIterator[Child]:
    """A process for `bench.<module>`, with directories of its own."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        own = {f"WEFT_{kind}_DIR": str(Path(place, kind.lower())) for kind in ("CONFIG", "DATA", "RUNTIME")}
        own["BENCH_ADDRESS"] = spot.address
        own["WEFT_NO_LAN"] = "1"  # what is measured is the way over the server, and past it
        process = await asyncio.create_subprocess_exec(
            *(*spot.inside, sys.executable, "-m", "bench.worker", f"bench.{module}", loop),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            env={**os.environ, **own},
        )
        started = Child(process)
        try:
            yield started
        finally:
            await started.end()


@contextlib.asynccontextmanager
async def signaling_server(spot: Spot = LOOPBACK) -> AsyncIterator[str]:
    """A real signaling server in its own process; its URL."""
    process = await asyncio.create_subprocess_exec(
        *(*spot.inside, sys.executable, "-m", "signaling", f"--host={spot.address}", "--port=0", "--json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
        yield f"http://{spot.address}:{json.loads(line)['port']}"
    finally:
        process.terminate()
        await process.wait()
