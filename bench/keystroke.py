"""(a) From a key stroke to the changed document elsewhere, and (c) what it costs on the wire.

The document in one process is edited through the public API; the moment counts at which the engine of
the other process has changed.  The floor is one message of the same size over a bare channel.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

from bench.children import signaling_server
from bench.pairs import Pair, Sizes, raw_pair, weft_pair
from bench.rows import Row, percentile

__all__ = ["measure", "measure_wire"]

RATES = (30, 300)
WIRE = ((5, 1.5, "alone (5/s)"), (300, 1.0, "fast (300/s)"), (5000, 0.2, "in a burst (5,000/s)"))
"""Strokes a second, and for how many times `Sizes.strokes` seconds: few strokes need a longer look."""
NAME = "typed.txt"


@dataclass
class Runs:
    """Percentiles of one way of sending, one number per repetition."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    def add(self, struck: list[int], arrived: list[int]) -> None:
        """One repetition."""
        delays = [(b - a) / 1e3 for a, b in zip(struck, arrived, strict=True)]
        self.p50.append(percentile(delays, 50))
        self.p99.append(percentile(delays, 99))


async def weft_once(pair: Pair, rate: int, count: int, runs: Runs) -> None:
    """Type through Weft."""
    await pair.two.do("expect", name=NAME)
    struck = await pair.one.do("type", name=NAME, count=count, rate=rate)
    runs.add(struck, await pair.two.do("arrived", count=count))


async def raw_once(pair: Pair, rate: int, count: int, size: int, runs: Runs, *, naive: bool = False) -> None:
    """Send the same over a bare channel."""
    await pair.two.do("expect", naive=naive)
    struck = await pair.one.do("type", count=count, rate=rate, size=size, naive=naive)
    runs.add(struck, await pair.two.do("arrived", count=count))


async def measure(sizes: Sizes) -> list[Row]:
    """(a): percentiles at each rate."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(signaling_server())
        weft = await stack.enter_async_context(weft_pair(server, count=True))
        raw = await stack.enter_async_context(raw_pair())
        slow = await stack.enter_async_context(raw_pair(loop="asyncio"))
        size = await _piece_size(weft)
        rows = []
        for rate in RATES:
            count = max(5, int(rate * sizes.strokes))
            ours, floor, naive, stock = Runs(), Runs(), Runs(), Runs()
            for _ in range(sizes.repeat):
                await weft_once(weft, rate, count, ours)
                await raw_once(raw, rate, count, size, floor)
                await raw_once(raw, rate, count, size, naive, naive=True)
                await raw_once(slow, rate, count, size, stock)
            rows += _rows(rate, size, ours, floor, naive, stock)
        return rows


async def _piece_size(pair: Pair) -> int:
    """Bytes that one key stroke hands to the channel, once the stream has learned."""
    await _typed(pair, 20, 100)
    before = (await pair.one.do("traffic"))["link_bytes"]
    await _typed(pair, 50, 100)
    after = (await pair.one.do("traffic"))["link_bytes"]
    return max(1, int(after - before) // 50)


async def _typed(pair: Pair, count: int, rate: float) -> None:
    await weft_once(pair, int(rate), count, Runs())


def _rows(rate: int, size: int, ours: Runs, floor: Runs, naive: Runs, stock: Runs) -> list[Row]:
    what = f"key stroke to remote document, {rate}/s"
    name = f"bare message of {size} B"
    details: dict[str, object] = {
        "message_bytes": size,
        "naive_p50_us": naive.p50,
        "naive_p99_us": naive.p99,
        "bare_asyncio_p50_us": stock.p50,
        "bare_asyncio_p99_us": stock.p99,
    }
    return [
        Row("a", f"{what}, p50", "µs", ours.p50, floor.p50, name, goal=1.5, details=details),
        Row("a", f"{what}, p99", "µs", ours.p99, floor.p99, name),
        Row("a", f"naive program (send each update), {rate}/s, p50", "µs", naive.p50, floor.p50, name),
        Row("a", f"bare message on asyncio's own loop, {rate}/s, p50", "µs", stock.p50, floor.p50, name),
    ]


async def measure_wire(sizes: Sizes) -> list[Row]:
    """(c): bytes of IP packets in both directions per key stroke, what an idle path costs taken off."""
    rows = []
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(signaling_server())
        weft = await stack.enter_async_context(weft_pair(server, count=True))
        raw = await stack.enter_async_context(raw_pair(count=True))
        for rate, seconds, label in WIRE:
            ours: list[float] = []
            floor: list[float] = []
            count = max(5, int(rate * seconds * sizes.strokes))
            for _ in range(sizes.repeat):
                ours.append(await _wire_bytes(weft, rate, count, raw=False))
                floor.append(await _wire_bytes(raw, rate, count, raw=True))
            what = f"wire bytes per key stroke, {label}"
            rows.append(Row("c", what, "B", ours, floor, "naive program", goal=1.0))
        return rows


async def _wire_bytes(pair: Pair, rate: int, count: int, *, raw: bool) -> float:
    seconds = count / rate
    idle = await _bytes_during(pair, pair.one.do("pause", seconds=seconds))
    busy = await _bytes_during(pair, _type_all(pair, rate, count, raw=raw))
    return max(0.0, busy - idle) / count


async def _type_all(pair: Pair, rate: int, count: int, *, raw: bool) -> None:
    if raw:
        await raw_once(pair, rate, count, 1, Runs(), naive=True)
    else:
        await weft_once(pair, rate, count, Runs())
    await pair.one.do("pause", seconds=0.3)  # the last acknowledgement


async def _bytes_during(pair: Pair, work: "asyncio.Future[object] | object") -> int:
    before = await pair.one.do("traffic")
    await work  # type: ignore[misc]
    after = await pair.one.do("traffic")
    return int(sum(after[key] - before[key] for key in ("sent_bytes", "received_bytes")))
