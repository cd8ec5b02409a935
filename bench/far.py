"""(k) Key strokes to somebody far away: 50 ms of round trip, one packet in a hundred lost each way.

As (a), but the processes are in network namespaces with a cable between them that takes its time.  The
floor is a message of the same size over a bare channel, through the same cable at the same time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from bench.children import Spot, signaling_server
from bench.keystroke import Runs, raw_once, weft_once
from bench.laboratory import laboratory
from bench.pairs import Pair, Sizes, raw_pair, weft_pair
from bench.rows import Row
from tests.netlab.lab import Host, Lab
from tests.netlab.wire import Wire

__all__ = ["measure"]

CABLE: Final = Wire(delay=0.025, loss=0.01)
GOAL_MS: Final = 30.0
RATES: Final = (5, 30)
"""Strokes a second: somebody who types, and keys that are held down."""
MESSAGE_BYTES: Final = 12
MS: Final = 1e3


async def measure(sizes: Sizes) -> list[Row]:
    """(k): percentiles at each rate."""
    async with laboratory() as lab, _pairs(lab) as (weft, raw):
        rows = []
        for rate in RATES:
            count = max(5, int(rate * sizes.far_strokes))
            ours, floor = Runs(), Runs()
            for _ in range(sizes.repeat):
                await asyncio.gather(
                    weft_once(weft, rate, count, ours), raw_once(raw, rate, count, MESSAGE_BYTES, floor)
                )
            rows += _rows(rate, ours, floor)
        return rows


@contextlib.asynccontextmanager
async def _pairs(lab: Lab) -> AsyncIterator[tuple[Pair, Pair]]:
    """Two members, and two ends of a bare channel; one of each is at the far end of the cable."""
    hosts = await asyncio.to_thread(
        lambda: [lab.host("near"), lab.host("far", wire=CABLE), lab.host("server")]
    )
    near, far, middle = map(_spot, hosts)
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(signaling_server(middle))
        weft = await stack.enter_async_context(weft_pair(server, spots=(near, far)))
        raw = await stack.enter_async_context(raw_pair(spots=(near, far)))
        yield weft, raw


def _spot(host: Host) -> Spot:
    return Spot(host.address, tuple(host.inside))


def _rows(rate: int, ours: Runs, floor: Runs) -> list[Row]:
    what = f"key stroke at 50 ms of round trip and 1 % of loss, {rate}/s"
    name = f"bare message of {MESSAGE_BYTES} B"
    found = {
        p: ([t / MS for t in getattr(ours, p)], [t / MS for t in getattr(floor, p)]) for p in ("p50", "p99")
    }
    return [
        Row("k", f"{what}, p50", "ms", found["p50"][0], goal=GOAL_MS),
        Row("k", f"{what}, p50, against", "ms", *found["p50"], name),
        Row("k", f"{what}, p99", "ms", *found["p99"], name),
    ]
