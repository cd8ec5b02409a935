"""(i) Two people meet across NATs: time to the first text and to the path, and what the server carries.

Times are from the first record of `weft join`, when Python has started.  Bytes are counted by the kernel at
the joiner's network interface: whole IP packets in both directions, by whom they are exchanged with.
"""

import asyncio
import itertools
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from bench.children import BenchFailed
from bench.laboratory import laboratory
from bench.pairs import Sizes
from bench.rows import Row
from bench.texts import make_text
from tests.e2e.town import until
from tests.lan.network import Network
from tests.netlab.lab import Host, Lab
from tests.netlab.nats import Kind
from tests.netlab.people import FIRST_TEXT_SECONDS, PATH_SECONDS, Meeting, Stage, new_stage
from tests.netlab.pulse import Pulse

__all__ = ["measure"]

LAN_SECONDS: Final = 3.0
"""For the first text on a network without any server."""
PAIRS: Final = (
    (Kind.NONE, Kind.NONE, "direct"),
    (Kind.PORT_RESTRICTED, Kind.PORT_RESTRICTED, "direct"),
    (Kind.PORT_RESTRICTED, Kind.SYMMETRIC, "turn"),
    (Kind.ONLY_443, Kind.ONLY_443, "turn"),
)
AT_ONCE: Final = 2
"""Meetings; each is mostly waiting."""
FILES: Final = 20
MB: Final = 1e6
WAIT: Final = 60.0
Counts = dict[str, int]
"""Bytes, by who they were exchanged with: `server`, `turn`, `other`."""
COUNTERS: Final = """
table inet bench {{
  counter server {{ }}
  counter turn {{ }}
  counter other {{ }}
  chain sent {{
    type filter hook output priority 0
    oif lo accept
    ip daddr {server} counter name server accept
    ip daddr {turn} counter name turn accept
    counter name other
  }}
  chain received {{
    type filter hook input priority 0
    iif lo accept
    ip saddr {server} counter name server accept
    ip saddr {turn} counter name turn accept
    counter name other
  }}
}}
"""


async def measure(sizes: Sizes) -> list[Row]:
    """(i): pairs of NATs, one LAN without a server, and the relayed share."""
    async with laboratory() as lab:
        return await asyncio.to_thread(_measure, lab, sizes)


def _measure(lab: Lab, sizes: Sizes) -> list[Row]:
    stage = new_stage(lab, "main")
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = [pool.submit(_meet, stage, *pair, sizes.repeat) for pair in PAIRS]
            rows = [row for each in found for row in each.result()]
        rows.append(_on_a_lan(sizes.repeat))
        rows += [row for pair in PAIRS[1:3] for row in _shares(stage, *pair, sizes)]
    except AssertionError as problem:
        raise BenchFailed(str(problem)) from problem
    finally:
        stage.close()
    return rows


def _meet(stage: Stage, one: Kind, other: Kind, path: str, repeat: int) -> list[Row]:
    mark = f"m{list(Kind).index(one)}{list(Kind).index(other)}"
    sharer, joiner = stage.lab.behind(one, f"{mark}s"), stage.lab.behind(other, f"{mark}j")
    meetings = [_succeeded(stage.meet(sharer, joiner, path)) for _ in range(repeat)]
    texts = [meeting.first_text for meeting in meetings]
    found = [meeting.path_after for meeting in meetings]
    return [
        Row("i", f"{one} - {other}: first text", "s", texts, goal=FIRST_TEXT_SECONDS),
        Row("i", f"{one} - {other}: path {path}", "s", found, goal=PATH_SECONDS),
    ]


def _succeeded(meeting: Meeting) -> Meeting:
    if meeting.failure:
        raise BenchFailed(meeting.failure)
    return meeting


def _on_a_lan(repeat: int) -> Row:
    texts = []
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
            network = Network(Path(place))
            try:
                texts.append(_first_text(network))
            finally:
                network.close()
    return Row("i", "one LAN, no server anywhere: first text", "s", texts, goal=LAN_SECONDS)


def _first_text(network: Network) -> float:
    anna, ben = network.host("anna"), network.host("ben")
    folders = [host.place / "notes" for host in (anna, ben)]
    folders[0].mkdir()
    (folders[0] / "plan.md").write_text("one\n")
    link = network.start(anna, "share", str(folders[0])).wait_for("invite.ready")["link"]
    joiner = network.start(ben, "join", str(link), str(folders[1]))
    there = folders[1] / "plan.md"
    until(lambda: _holds(there, "one\n"), WAIT, "the first text")
    return float(there.stat().st_mtime - joiner.records("session.start")[0]["t"])


# --- the relayed share --------------------------------------------------------------------------------


def _shares(stage: Stage, one: Kind, other: Kind, path: str, sizes: Sizes) -> list[Row]:
    """How many of all bytes the server carried, and how many the TURN server."""
    mark = f"s{list(Kind).index(one)}{list(Kind).index(other)}"
    hosts = stage.lab.behind(one, f"{mark}s"), stage.lab.behind(other, f"{mark}j")
    hosts[1].nft(COUNTERS.format(server=stage.server.host.address, turn=stage.turn.host.address))
    spent = [_spend(stage, *hosts, path, sizes) for _ in range(sizes.repeat)]
    spans = (f"joining {sizes.text_size / MB:.2g} MB", f"{sizes.typing:g} s of typing by both")
    carriers = {"server": "the server"} | ({"turn": "TURN"} if path == "turn" else {})
    return [
        _share_row(f"{one} - {other}, {what}: bytes over {name}", each, carrier)
        for what, each in zip(spans, zip(*spent, strict=True), strict=True)
        for carrier, name in carriers.items()
    ]


def _share_row(what: str, spent: Sequence[Counts], carrier: str) -> Row:
    shares = [100 * counts[carrier] / sum(counts.values()) for counts in spent]
    return Row("i", what, "%", shares, details={"bytes": [dict(counts) for counts in spent]})


def _spend(stage: Stage, sharer: Host, joiner: Host, path: str, sizes: Sizes) -> tuple[Counts, Counts]:
    """Bytes by who carried them: until the folder is there and the path stands, and while both type."""
    anna, ben = stage.person("anna", sharer), stage.person("ben", joiner)
    texts = {f"{n}.txt": make_text("words", sizes.text_size // FILES, n) for n in range(FILES)}
    anna.folder.mkdir(parents=True)
    for name, text in texts.items():
        (anna.folder / name).write_text(text)
    counts = [_read(joiner)]
    try:
        stage.bring_together(anna, ben, path)
        until(lambda: all(_holds(ben.folder / name, text) for name, text in texts.items()), WAIT, "all files")
        counts.append(_read(joiner))
        _type([(anna.folder, ben.folder), (ben.folder, anna.folder)], sizes.typing)
        counts.append(_read(joiner))
    finally:
        for person in (anna, ben):
            person.stop()
        for person in (anna, ben):
            person.running.end()
    first, then = (
        {name: after[name] - before[name] for name in before} for before, after in itertools.pairwise(counts)
    )
    return first, then


def _holds(file: Path, text: str) -> bool:
    return file.exists() and file.read_text() == text


def _type(ways: list[tuple[Path, Path]], seconds: float) -> None:
    """Have each side write ten times a second into a file of its own, until all of it has arrived."""
    pulses = [Pulse(writer, str(number)) for number, (writer, _) in enumerate(ways)]
    for pulse in pulses:
        pulse.start()
    time.sleep(seconds)
    for pulse in pulses:
        pulse.stop()
    for pulse, (_, reader) in zip(pulses, ways, strict=True):
        until(lambda pulse=pulse, reader=reader: pulse.whole(reader), WAIT, "what was typed")  # type: ignore[misc]


def _read(host: Host) -> Counts:
    said = json.loads(host.run("nft", "-j", "list", "counters", "table", "inet", "bench"))
    found = [each["counter"] for each in said["nftables"] if "counter" in each]
    return {counter["name"]: int(counter["bytes"]) for counter in found}
