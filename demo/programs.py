"""Real `weft` processes, and what they say.

Their records go to files, not pipes, so that they can go on when the demo has ended (`KEEP=1`).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["DemoFailed", "Program", "wait_until"]

POLL_SECONDS: Final = 0.002
"""Between two looks at a file: small against what is measured, large against what a look costs."""
GOODBYE_SECONDS: Final = 10.0
"""For a process to end when asked to."""
STDERR_LINES: Final = 15
"""Of a process that failed; the reason is at the end."""

Record = dict[str, object]


class DemoFailed(Exception):
    """Something did not happen; the sentence says what."""


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until *holds*, and return how long that took in seconds.

    Raises:
        DemoFailed: it did not hold within *seconds*; *what* says what was waited for.
    """
    start = time.perf_counter()
    while not holds():
        if time.perf_counter() - start > seconds:
            raise DemoFailed(f"{what} did not happen within {seconds:g} seconds")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - start


class Program:
    """One `weft` process with directories of its own below *place*.

    *inside* goes before the command and has to become it, as `nsenter` does; *environment* is added to ours.
    """

    def __init__(
        self,
        name: str,
        place: Path,
        arguments: list[str],
        *,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        place.mkdir(exist_ok=True)
        self._out = place / "records.ndjson"
        self._err = place / "stderr.txt"
        self._crash = place / "data" / "crash.log"
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
        own = {f"WEFT_{kind.upper()}_DIR": str(place / kind) for kind in ("config", "data", "runtime")}
        own["WEFT_NO_LAN"] = "1"  # they meet at their own server, and nobody beside them is met
        weft = Path(sys.executable).with_name("weft")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                [*inside, weft, *arguments, "--json"],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**inherited, **own, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def everything(self) -> list[Record]:
        """Everything that the process has said so far."""
        return [json.loads(line) for line in self._out.read_bytes().split(b"\n")[:-1]]

    def records(self, kind: str) -> list[Record]:
        """Everything of type *kind* that the process has said so far."""
        return [record for record in self.everything() if record["type"] == kind]

    def wait_for(self, kind: str, seconds: float = 10.0, **values: object) -> Record:
        """Wait for a record of type *kind* that has these *values*, and return it.

        Raises:
            DemoFailed: it did not come, or the process ended.
        """
        found: list[Record] = []

        def said() -> bool:
            found[:] = [r for r in self.records(kind) if values.items() <= r.items()]
            if not found and self._process.poll() is not None:
                raise DemoFailed(f"{self.name} ended with exit code {self._process.returncode}")
            return bool(found)

        wait_until(said, seconds, f"{self.name}: {kind} {values or ''}".rstrip())
        return found[0]

    def ask_to_end(self) -> None:
        """Press Ctrl-C."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Wait for the end, force it if it does not come, and return the exit code."""
        try:
            return self._process.wait(GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def last_words(self) -> str:
        """What the process wrote for people, its last record, and where it crashed if it did."""
        lines = self._err.read_text(errors="replace").splitlines()[-STDERR_LINES:]
        lines += self._out.read_text(errors="replace").splitlines()[-1:]
        if self._crash.exists():
            lines += self._crash.read_text(errors="replace").splitlines()[-STDERR_LINES:]
        said = "\n".join(f"    {line}" for line in lines) or "    (nothing)"
        return f"  {self.name}, process {self.pid}, exit code {self._process.poll()}, said last:\n{said}"
