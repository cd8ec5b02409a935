"""(g) The signaling server: what `bench.signaling` measures, as rows of the table."""

from typing import Any

from bench import signaling
from bench.pairs import Sizes
from bench.rows import Row

__all__ = ["measure"]

IDLE_GOAL_KIB = 25.0
SHARE_GOAL = 0.5


async def measure(sizes: Sizes) -> list[Row]:
    """Frames per CPU second against a bare echo loop, idle memory, and an innocent room under attack."""
    runs = [await signaling.measure(sizes.seconds, sizes.connections) for _ in range(sizes.repeat)]
    rows = []
    for payload in runs[0]["rates"]:
        ours = [run["rates"][payload]["relay"]["per_cpu_second"] for run in runs]
        echo = [run["rates"][payload]["echo"]["per_cpu_second"] for run in runs]
        what = f"relayed frames of {payload} B per CPU second"
        rows.append(Row("g", what, "/s", ours, echo, "aiohttp echo", SHARE_GOAL, more_is_better=True))
    memory = [run["idle_kib_per_connection"]["relay"] for run in runs]
    bare = [run["idle_kib_per_connection"]["echo"] for run in runs]
    rows.append(Row("g", "idle memory per connection", "KiB", memory, goal=IDLE_GOAL_KIB))
    rows.append(Row("g", "idle memory per connection, against", "KiB", memory, bare, "aiohttp echo"))
    rows += [_attacked(kind, runs) for kind in runs[0]["latency_us"] if kind != "nobody"]
    return rows


def _attacked(kind: str, runs: list[dict[str, Any]]) -> Row:
    ours = [run["latency_us"][kind]["p50"] for run in runs]
    calm = [run["latency_us"]["nobody"]["p50"] for run in runs]
    return Row("g", f"one way in an innocent room, attack: {kind}, p50", "µs", ours, calm, "nobody attacks")
