"""`weft doctor --self-test`: does this installation work at all?  Two sessions, joined over loopback.

Everything happens in a directory of its own that is removed afterwards, and nothing leaves this computer.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from peer import api
from peer.core.notices import PeerPath
from peer.edge.probes.finding import Finding, broken, note, ok
from signaling.server import RoomServer
from signaling.settings import Settings

__all__ = ["LIMIT_SECONDS", "run_self_test"]

LIMIT_SECONDS: Final = 5.0
"""For all of it; on an ordinary machine it takes one."""
DIRECT_SECONDS: Final = 2.0
"""For the direct path, which the rest does not need."""
LOOK_SECONDS: Final = 0.01

_SENTENCES: Final = {
    "server": "a server on this computer",
    "share": "sharing a folder",
    "join": "joining it",
    "edits": "edits both ways",
}


def run_self_test() -> list[Finding]:
    """Run it; one finding for each step that was reached."""
    with tempfile.TemporaryDirectory(prefix="weft-self-test-") as place, _at_home(Path(place)):
        return asyncio.run(_test(Path(place)))


@contextlib.contextmanager
def _at_home(place: Path) -> Iterator[None]:
    """Keep the keys and sessions of the person out of it."""
    names = {f"WEFT_{kind.upper()}_DIR": str(place / kind) for kind in ("config", "data", "runtime")}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


async def _test(place: Path) -> list[Finding]:
    found: list[Finding] = []
    began = time.monotonic()

    def passed(step: str, words: str) -> None:
        nonlocal began
        now = time.monotonic()
        found.append(ok(f"self.{step}", step, words, ms=round((now - began) * 1000, 1)))
        began = now

    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await _sessions(place, passed, found)
    except Exception as error:  # whatever it is, it is what the person wants to know
        late = isinstance(error, TimeoutError)
        why = f"it did not end within {LIMIT_SECONDS:g} s" if late else f"{type(error).__name__}: {error}"
        reached = {each.id for each in found}
        step = next((step for step in _SENTENCES if f"self.{step}" not in reached), "edits")
        found.append(broken(f"self.{step}", step, f"{_SENTENCES[step]} failed", cause=why, do="weft report"))
    return found


async def _sessions(place: Path, passed: Callable[[str, str], None], found: list[Finding]) -> None:
    anna, ben = place / "anna", place / "ben"
    anna.mkdir()
    ben.mkdir()
    (anna / "hello.txt").write_text("hello\n", encoding="utf-8")
    async with RoomServer(Settings(host="127.0.0.1", port=0)) as server:
        passed("server", _SENTENCES["server"])
        async with api.share(anna, server=server.url, name="anna") as one:
            passed("share", _SENTENCES["share"])
            async with api.join(one.link, ben, server=server.url, name="ben") as two:
                await two.synced()
                passed("join", _SENTENCES["join"])
                await _edit(anna / "hello.txt", ben / "hello.txt")
                passed("edits", _SENTENCES["edits"] + ", both copies equal")
                found.append(await _path(two))


async def _edit(here: Path, there: Path) -> None:
    """An edit on each side, at once; then both copies hold both."""
    await _until(lambda: there.exists() and there.read_bytes() == here.read_bytes())
    await asyncio.gather(
        asyncio.to_thread(here.write_text, "from anna\nhello\n", "utf-8"),
        asyncio.to_thread(there.write_text, "hello\nfrom ben\n", "utf-8"),
    )
    expected = "from anna\nhello\nfrom ben\n"
    await _until(lambda: all(each.read_text(encoding="utf-8") == expected for each in (here, there)))


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - files set no events
        await asyncio.sleep(LOOK_SECONDS)


async def _path(session: api.Session) -> Finding:
    ids = ("self.direct", "direct path")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DIRECT_SECONDS):
            async for event in session.events():
                if isinstance(event, PeerPath) and event.path in ("direct", "lan"):
                    return ok(*ids, "WebRTC over loopback", ms=event.took_ms)
    return note(*ids, "no direct path was found, the relay was used", cause="a firewall on this computer")
