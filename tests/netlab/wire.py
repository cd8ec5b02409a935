"""A cable between two network namespaces that takes its time, for kernels without netem.

Two TAP interfaces, one at each end, and this process between them: each Ethernet frame waits for the delay
and a random part of the jitter, in order, or is lost.  Run by `Lab.plug`; started with the paths of both
namespaces, and ends with the laboratory.
"""

import argparse
import ctypes
import fcntl
import os
import random
import select
import struct
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["Wire", "carry", "main"]

_CLONE_NEWNET: Final = 0x40000000
_TUNSETIFF: Final = 0x400454CA
_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
_FRAME_BYTES: Final = 65_536
_WAITING_LIMIT: Final = 10_000
"""Frames on their way in one direction; more are lost, as in a full router."""
_AT_ONE_TURN: Final = 64
"""Frames read from one end before the other has its turn."""


@dataclass(frozen=True, slots=True)
class Wire:
    """How a cable behaves in each direction: seconds, seconds, and a share of frames from 0 to 1."""

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    seed: int = 1

    def command(self, *ends: str) -> list[str]:
        """The arguments for this module; *ends*: namespace, interface, namespace, interface."""
        numbers = (self.delay, self.jitter, self.loss, self.seed)
        return [*map(str, numbers), *ends]


@dataclass(slots=True)
class _Way:
    """One direction."""

    source: int
    target: int
    waiting: deque[tuple[float, bytes]]


def _open(namespace: str, interface: str) -> int:
    """A TAP interface in a namespace, as a file of this process."""
    with open(namespace) as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), _IFF_TAP | _IFF_NO_PI))
    return tap


def _take(way: _Way, wire: Wire, dice: random.Random) -> None:
    """Read what came in, and say for each frame when it goes out."""
    for _ in range(_AT_ONE_TURN):
        try:
            frame = os.read(way.source, _FRAME_BYTES)
        except OSError:
            return  # nothing more; or the interface is down, and then it carries nothing
        if dice.random() < wire.loss or len(way.waiting) >= _WAITING_LIMIT:
            continue
        due = time.monotonic() + wire.delay + dice.uniform(0, wire.jitter)
        if way.waiting:
            due = max(due, way.waiting[-1][0])
        way.waiting.append((due, frame))


def _give(way: _Way, now: float) -> None:
    while way.waiting and way.waiting[0][0] <= now:
        _, frame = way.waiting.popleft()
        try:
            os.write(way.target, frame)
        except OSError:
            return  # the other end is down


def carry(wire: Wire, first: int, second: int) -> None:
    """Carry frames both ways, for ever."""
    dice = random.Random(wire.seed)
    ways = [_Way(first, second, deque()), _Way(second, first, deque())]
    while True:
        now = time.monotonic()
        for way in ways:
            _give(way, now)
        dues = [way.waiting[0][0] for way in ways if way.waiting]
        patience = max(0.0, min(dues) - time.monotonic()) if dues else None
        ready, _, _ = select.select([first, second], [], [], patience)
        for way in ways:
            if way.source in ready:
                _take(way, wire, dice)


def main() -> None:
    """Make the two ends, say so, and carry."""
    parser = argparse.ArgumentParser()
    for number in ("delay", "jitter", "loss"):
        parser.add_argument(number, type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("ends", nargs=4)
    asked = parser.parse_args()
    taps = [_open(asked.ends[0], asked.ends[1]), _open(asked.ends[2], asked.ends[3])]
    print("ready", flush=True)
    carry(Wire(asked.delay, asked.jitter, asked.loss, asked.seed), *taps)


if __name__ == "__main__":
    main()
