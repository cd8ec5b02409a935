"""(e) Ten texts of one MiB reach somebody who just joined; the floor is the bare channel.

The floor carries as many bytes in 16 KiB messages over a connection that is as fresh.  Two spans are
told: from the first step (of `join`, of the offer) to the last byte, and from the moment the two know
each other (link, channel) to the last byte.
"""

from bench.children import child, signaling_server
from bench.pairs import Pair, Sizes, connect_raw
from bench.rows import Row
from bench.texts import KINDS

__all__ = ["measure"]

TEXTS = 10
MESSAGE = 16 * 1024
MIB = 1024 * 1024


async def measure(sizes: Sizes) -> list[Row]:
    """MB/s for text that deflates well and text that hardly does."""
    rows = []
    for kind in KINDS:
        ours: list[tuple[float, float]] = []
        floor: list[tuple[float, float]] = []
        for _ in range(sizes.repeat):
            ours.append(await _weft(kind, sizes.text_size))
            floor.append(await _raw(sizes.text_size * TEXTS))
        total = sizes.text_size * TEXTS / 1e6
        for index, span in enumerate(("from knowing each other", "from the first step")):
            what = f"first sync of {sizes.text_size * TEXTS / MIB:.3g} MiB of {kind}, {span}"
            mine = [total / times[index] for times in ours]
            bare = [total / times[index] for times in floor]
            goal = 0.8 if index == 0 else None
            rows.append(Row("e", what, "MB/s", mine, bare, "bare channel, 16 KiB", goal, more_is_better=True))
    return rows


async def _weft(kind: str, size: int) -> tuple[float, float]:
    """Seconds from knowing each other, and from `join`."""
    names = [f"{kind}-{number}.txt" for number in range(TEXTS)]
    async with signaling_server() as server, child("weft_side") as one, child("weft_side") as two:
        link = await one.do("share", server=server)
        await one.do("fill", names=names, size=size, kind=kind)
        began = (await two.do("join", link=link))["began"]
        last = (await two.do("have", names=names, size=size, kind=kind))["last"]
        met = await two.do("met")
        return (last - met) / 1e9, (last - began) / 1e9


async def _raw(total: int) -> tuple[float, float]:
    async with child("raw_side") as one, child("raw_side") as two:
        pair = Pair(one, two)
        took_ms = await connect_raw(pair)
        await two.do("expect")
        began = await one.do("bulk", total=total, size=MESSAGE)
        seconds = (await two.do("arrived_bytes", count=total // MESSAGE * MESSAGE) - began) / 1e9
        return seconds, seconds + took_ms / 1e3
