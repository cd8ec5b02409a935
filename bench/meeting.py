"""(i) Two people meet across NATs: time to the first text and to the path, and what the server carries.

Times are from the first record of `weft join`, when Python has started.  Bytes are counted by the kernel at
the joiner's network interface: whole IP packets in both directions, by whom they are exchanged with.
"""

import asyncio
import json
import tempfile
import time
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
FILES: Final = 20
MB: Final = 1e6
WAIT_SECONDS: Final = 60.0
COUNTED: Final = ("server", "turn", "other")
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
        rows = [row for pair in PAIRS for row in _meet(stage, *pair, sizes.repeat)]
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
    until(lambda: there.exists() and there.read_text() == "one\n", WAIT_SECONDS, "the first text")
    return float(there.stat().st_mtime - joiner.records("session.start")[0]["t"])


# --- the relayed share --------------------------------------------------------------------------------


def _shares(stage: Stage, one: Kind, other: Kind, path: str, sizes: Sizes) -> list[Row]:
    """How many of all bytes the server carried, and how many the TURN server."""
    kinds, mark = f"{one} - {other}", f"s{list(Kind).index(one)}{list(Kind).index(other)}"
    hosts = stage.lab.behind(one, f"{mark}s"), stage.lab.behind(other, f"{mark}j")
    hosts[1].nft(COUNTERS.format(server=stage.server.host.address, turn=stage.turn.host.address))
    counts = [_count(stage, *hosts, path, sizes) for _ in range(sizes.repeat)]
    what = f"{kinds}: {sizes.text_size / MB:.2g} MB, then {sizes.typing:g} s of typing by both"
    rows = [_share_row(f"{what}: bytes over the server", "server", counts)]
    if path == "turn":
        rows.append(_share_row(f"{what}: bytes over TURN", "turn", counts))
    return rows


def _share_row(what: str, counter: str, counts: list[dict[str, int]]) -> Row:
    return Row("i", what, "%", [100 * count[counter] / sum(count.values()) for count in counts])


def _count(stage: Stage, sharer: Host, joiner: Host, path: str, sizes: Sizes) -> dict[str, int]:
    """Bytes by counter, of one session."""
    anna, ben = stage.person("anna", sharer), stage.person("ben", joiner)
    before = _read(joiner)
    anna.folder.mkdir(parents=True)
    size = sizes.text_size // FILES
    for number in range(FILES):
        (anna.folder / f"{number}.txt").write_text(make_text("words", size, number))
    try:
        stage.bring_together(anna, ben, path)
        wanted = [(ben.folder / f"{number}.txt", make_text("words", size, number)) for number in range(FILES)]
        until(
            lambda: all(file.exists() and file.read_text() == text for file, text in wanted),
            WAIT_SECONDS,
            "all files",
        )
        _type([(anna.folder, ben.folder), (ben.folder, anna.folder)], sizes.typing)
    finally:
        for person in (anna, ben):
            person.stop()
        for person in (anna, ben):
            person.running.end()
    after = _read(joiner)
    return {name: after[name] - before[name] for name in COUNTED}


def _type(ways: list[tuple[Path, Path]], seconds: float) -> None:
    """Have each side write ten times a second into a file of its own, until all of it has arrived."""
    pulses = [Pulse(writer, str(number)) for number, (writer, _) in enumerate(ways)]
    for pulse in pulses:
        pulse.start()
    time.sleep(seconds)
    for pulse in pulses:
        pulse.stop()
    for pulse, (_, reader) in zip(pulses, ways, strict=True):
        until(lambda pulse=pulse, reader=reader: pulse.whole(reader), WAIT_SECONDS, "what was typed")  # type: ignore[misc]


def _read(host: Host) -> dict[str, int]:
    said = json.loads(host.run("nft", "-j", "list", "counters", "table", "inet", "bench"))
    found = [each["counter"] for each in said["nftables"] if "counter" in each]
    return {counter["name"]: int(counter["bytes"]) for counter in found}
