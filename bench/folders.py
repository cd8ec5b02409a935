"""(b) A file saved in one folder until it is in the other, and (f) a folder of many small files joined.

This process is the editor on one side and the reader on the other; both members are processes of their
own.  Saving is what careful editors do: write beside it, then rename.
"""

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from bench.children import BenchFailed, Child, child, signaling_server
from bench.pairs import Sizes
from bench.rows import Row, percentile
from bench.texts import make_text

__all__ = ["measure", "measure_many"]

LOOK_EVERY: Final = 0.001
"""Seconds between two looks at the other folder."""
LIMIT: Final = 120.0
SAVES_PER_SECOND: Final = 4.0
GOAL_MS: Final = 60.0
FILE_SIZE: Final = 1000
FILES_PER_FOLDER: Final = 50


@contextlib.asynccontextmanager
async def two_folders() -> AsyncIterator[tuple[Path, Path]]:
    """Two empty folders, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        folders = Path(place, "ana"), Path(place, "ben")
        folders[0].mkdir()
        yield folders


@contextlib.asynccontextmanager
async def members() -> AsyncIterator[tuple[str, Child, Child]]:
    """A server and two processes that are in no session yet."""
    async with signaling_server() as server, child("weft_side") as one, child("weft_side") as two:
        yield server, one, two


def save(path: Path, text: str) -> None:
    """Save as an editor does."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


async def until_holds(path: Path, text: str) -> float:
    """Wait until the file holds *text*; return when it was seen."""
    limit = time.monotonic() + LIMIT
    wanted = text.encode()
    while True:
        if _holds(path, wanted):
            return time.monotonic()
        if time.monotonic() > limit:
            raise BenchFailed(f"{path} did not become what was saved within {LIMIT:g} s")
        await asyncio.sleep(LOOK_EVERY)


def _holds(path: Path, wanted: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size == len(wanted) and path.read_bytes() == wanted
    return False


async def measure(sizes: Sizes) -> list[Row]:
    """(b): saves one by one, into files of two sizes."""
    rows = []
    async with two_folders() as (ana, ben), members() as (server, one, two):
        texts = {"small.md": make_text("words", FILE_SIZE, 1), "large.md": make_text("words", 500_000, 2)}
        for name, text in texts.items():
            save(ana / name, text)
        link = await one.do("share", server=server, folder=str(ana))
        await two.do("join", link=link, folder=str(ben))
        await asyncio.gather(one.do("path", path="direct"), two.do("path", path="direct"))
        for name, text in texts.items():
            await until_holds(ben / name, text)
            what = f"file saved to file changed, {len(text) / 1000:g} kB"
            p50, p99 = [], []
            for number in range(sizes.repeat):
                count = max(3, int(sizes.strokes * SAVES_PER_SECOND * 2))
                delays, text = await _saves(ana / name, ben / name, text, count, seed=number)
                p50.append(percentile(delays, 50))
                p99.append(percentile(delays, 99))
            rows.append(Row("b", f"{what}, p50", "ms", p50, goal=GOAL_MS))
            rows.append(Row("b", f"{what}, p99", "ms", p99))
    return rows


async def _saves(mine: Path, other: Path, text: str, count: int, seed: int) -> tuple[list[float], str]:
    chance = random.Random(f"saves {seed}")
    delays = []
    for number in range(count):
        at = chance.randrange(len(text))
        text = f"{text[:at]} saved {seed}-{number} {text[at:]}"
        saved = time.monotonic()
        save(mine, text)
        delays.append((await until_holds(other, text) - saved) * 1e3)
        await asyncio.sleep(chance.uniform(0.5, 1.5) / SAVES_PER_SECOND)
    return delays, text


async def measure_many(sizes: Sizes) -> list[Row]:
    """(f): seconds from `join` until every file is there, against copying the folder."""
    ours, floor = [], []
    for _ in range(sizes.repeat):
        async with two_folders() as (ana, ben), members() as (server, one, two):
            wanted = _many_files(ana, sizes.files)
            began = time.monotonic()
            shutil.copytree(ana, ana.with_name("copy"))
            floor.append(time.monotonic() - began)
            link = await one.do("share", server=server, folder=str(ana))
            await one.do("files", count=sizes.files)
            began = time.monotonic()
            await two.do("join", link=link, folder=str(ben))
            for name, text in wanted.items():
                await until_holds(ben / name, text)
            ours.append(time.monotonic() - began)
    return [Row("f", f"{sizes.files} files of 1 kB joined", "s", ours, floor, "copy of the folder")]


def _many_files(folder: Path, count: int) -> dict[str, str]:
    wanted = {}
    for number in range(count):
        name = f"part-{number // FILES_PER_FOLDER}/note-{number}.md"
        wanted[name] = make_text("words", FILE_SIZE, number)
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(wanted[name], encoding="utf-8")
    return wanted
