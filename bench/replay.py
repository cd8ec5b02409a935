"""(c2) Editing traces typed through one member and arriving at another, against the bare engine.

Live edits go through the public API one by one; pre-recorded ones are handed to the document as updates,
so that what the engine needs for local editing is not in them.  Every run ends with the exact text.
"""

import asyncio
import time

from bench.children import Child, child, signaling_server
from bench.pairs import Pair, Sizes, weft_pair
from bench.rows import Row

__all__ = ["measure"]

TRACES = ("sveltecomponent", "friendsforever_flat")
TWO_AUTHORS = "friendsforever"
START_IN = 1_500_000_000
"""Nanoseconds for both authors to get ready."""


async def measure(sizes: Sizes) -> list[Row]:
    """Edits per second until the other side has the whole text."""
    rows = []
    async with (
        signaling_server() as server,
        weft_pair(server, count=True) as weft,
        child("crdt_side") as bare,
    ):
        for trace in TRACES:
            for recorded in (False, True):
                rows += await _one_trace(weft, bare, trace, sizes, recorded=recorded)
        rows.append(await _two_authors(weft, sizes))
    return rows


async def _one_trace(pair: Pair, bare: Child, trace: str, sizes: Sizes, *, recorded: bool) -> list[Row]:
    ours, typed, floor, wire = [], [], [], []
    kind = "recorded" if recorded else "live"
    for number in range(sizes.repeat):
        name = f"{trace}-{kind}-{number}.txt"
        end = asyncio.create_task(pair.two.do("replayed", name=name, trace=trace, count=sizes.patches))
        before = await pair.one.do("traffic")
        began = await pair.one.do("replay", name=name, trace=trace, count=sizes.patches, recorded=recorded)
        seconds = (await end - began["began"]) / 1e9
        after = await pair.one.do("traffic")
        edits = began["edits"]
        ours.append(edits / seconds)
        typed.append(edits / ((began["typed"] - began["began"]) / 1e9))
        wire.append(sum(after[key] - before[key] for key in ("sent_bytes", "received_bytes")) / edits)
        command = "apply" if recorded else "local"
        floor.append(edits / (await bare.do(command, trace=trace, count=sizes.patches) / 1e9))
    what = "pre-recorded updates" if recorded else "live edits"
    name = "bare apply" if recorded else "bare local edits"
    details: dict[str, object] = {"typed_per_second": typed}
    return [
        Row("c2", f"{trace}, {what}", "/s", ours, floor, name, more_is_better=True, details=details),
        Row("c2", f"{trace}, {what}: wire bytes per edit", "B", wire),
    ]


async def _two_authors(pair: Pair, sizes: Sizes) -> Row:
    """Both type at once, each on top of what they had seen; both must end with the same text."""
    ours = []
    for number in range(sizes.repeat):
        name = f"{TWO_AUTHORS}-{number}.txt"
        clients = [await pair.one.do("client", name=name), await pair.two.do("client", name=name)]
        start = time.monotonic_ns() + START_IN
        values = {"name": name, "trace": TWO_AUTHORS, "count": sizes.patches, "clients": clients}
        ends = await asyncio.gather(
            pair.one.do("author", **values, me=0, start_at=start),
            pair.two.do("author", **values, me=1, start_at=start),
        )
        ours.append((max(ends) - start) / 1e9)
    return Row("c2", f"{TWO_AUTHORS}, two authors at once, both have all", "s", ours)
