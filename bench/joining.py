"""(d) From `join` to the first text over the relay, and to a direct path; the floor is a bare connection."""

from bench.children import child, signaling_server
from bench.pairs import Pair, Sizes, connect_raw
from bench.rows import Row

__all__ = ["measure"]

NAME = "first.txt"


async def measure(sizes: Sizes) -> list[Row]:
    """Times of the first join in a process, and of later ones."""
    first: list[dict[str, float]] = []
    later: list[dict[str, float]] = []
    floor: list[float] = []
    async with signaling_server() as server, child("weft_side") as one:
        link = await one.do("share", server=server)
        await one.do("fill", names=[NAME], size=1000, kind="words")
        for _ in range(sizes.repeat):
            async with child("weft_side") as two, child("raw_side") as bare, child("raw_side") as other:
                for number in range(sizes.joins):
                    times = await two.do("join_for_text", link=link, name=NAME)
                    (later if number else first).append(_since(times))
                    await two.do("leave")
                    if number:
                        raw = Pair(bare, other)
                        floor.append(await connect_raw(raw))
                        await raw.one.do("close")
                        await raw.two.do("close")
    bare_name = "bare connection"
    return [
        Row("d", "join to first text over the relay", "ms", [t["text"] for t in later], floor, bare_name),
        Row("d", "join to direct path", "ms", [t["direct"] for t in later], floor, bare_name),
        Row("d", "first join of a process, to first text", "ms", [t["text"] for t in first]),
        Row("d", "first join of a process, to direct path", "ms", [t["direct"] for t in first]),
    ]


def _since(times: dict[str, int]) -> dict[str, float]:
    return {key: (at - times["began"]) / 1e6 for key, at in times.items()}
