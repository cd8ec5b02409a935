"""(j) How long until editing goes on after trouble, from when a path exists; in the NAT laboratory.

Two people edit one file all the time, each of them also counts in a file of its own, and every word has to
be there once in the end; a trouble that loses one is a failure, not a figure.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from bench.children import BenchFailed
from bench.laboratory import laboratory
from bench.pairs import Sizes
from bench.rows import Row
from tests.netlab.lab import Lab
from tests.netlab.troubles import RECOVERY_SECONDS, SHORT, Scene, Trouble, play, troubles

__all__ = ["measure"]

AT_ONCE: Final = 2
"""Scenes; each is mostly waiting."""
LONG: Final = "credentials run out"
"""Waits for minutes; `make netlab` has it."""


async def measure(sizes: Sizes) -> list[Row]:
    """(j): one row for each trouble, with the later of both ways."""
    async with laboratory() as lab:
        return await asyncio.to_thread(_measure, lab, sizes)


def _measure(lab: Lab, sizes: Sizes) -> list[Row]:
    chosen = [trouble for name, trouble in troubles(SHORT).items() if LONG not in name][: sizes.troubles]
    turns = [(trouble, turn) for turn in range(sizes.repeat) for trouble in chosen]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        scenes = list(
            pool.map(lambda one: play(lab, one[0], f"t{chosen.index(one[0])}-{one[1]}", 1 + one[1]), turns)
        )
    return [_row(trouble, scenes[number :: len(chosen)]) for number, trouble in enumerate(chosen)]


def _row(trouble: Trouble, scenes: list[Scene]) -> Row:
    for scene in scenes:
        if scene.failure:
            raise BenchFailed(scene.failure)
    what = trouble.name + (f", {trouble.seconds:g} s" if trouble.seconds else "")
    return Row(
        "j", f"{what}: writing arrives again", "s", [max(s.took) for s in scenes], goal=RECOVERY_SECONDS
    )
