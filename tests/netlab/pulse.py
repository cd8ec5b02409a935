"""Somebody who writes a number every tenth of a second, to see when numbers arrive on the other side."""

import threading
import time
from pathlib import Path
from typing import Final

__all__ = ["EVERY_SECONDS", "Pulse", "recovery"]

EVERY_SECONDS: Final = 0.1
LOOK_SECONDS: Final = 0.01


class Pulse(threading.Thread):
    """Appends numbers to a file of its own until told to stop.

    Attributes:
        written: when each number was, by `time.monotonic`.
        asleep: while this is set, nothing is written.
    """

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(name=name)
        self.written: list[float] = []
        self.file = folder / f"pulse-{name}.txt"
        self.asleep = threading.Event()
        self._stop_wanted = threading.Event()

    def run(self) -> None:
        """Write until stopped."""
        while not self._stop_wanted.wait(EVERY_SECONDS):
            if self.asleep.is_set():
                continue
            with self.file.open("a") as file:
                file.write(f"{len(self.written)}\n")
            self.written.append(time.monotonic())

    def stop(self) -> None:
        """Write no more."""
        self._stop_wanted.set()
        self.join()

    def arrived(self, folder: Path) -> list[int]:
        """The numbers that are in the copy in *folder*."""
        try:
            lines = (folder / self.file.name).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [int(line) for line in lines]

    def whole(self, folder: Path) -> bool:
        """Whether every number is in *folder*, once and in order."""
        return self.arrived(folder) == list(range(len(self.written)))


def recovery(pulses: list[tuple[Pulse, Path]], since: float, limit: float) -> list[float]:
    """How long after *since* something that was written then or later arrived, for each (writer, folder).

    Endless if nothing did before *limit* seconds were over.
    """
    found = [float("inf")] * len(pulses)
    while float("inf") in found and time.monotonic() - since < limit:
        for number, (pulse, folder) in enumerate(pulses):
            arrived = pulse.arrived(folder) if found[number] == float("inf") else []
            if arrived and pulse.written[min(arrived[-1], len(pulse.written) - 1)] >= since:
                found[number] = time.monotonic() - since
        time.sleep(LOOK_SECONDS)
    return found
