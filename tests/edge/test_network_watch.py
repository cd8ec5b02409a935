"""Clocks that jump, addresses that change, and what the system says of both."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from peer.core.events import NetworkChanged
from peer.edge import network_watch
from peer.edge.network_watch import LOOK_EVERY, SLEPT_SECONDS, Clocks, NetworkWatch, network_tag
from tests.conftest import PATIENCE

Times = tuple[float, float, float]


class Dial:
    """Three clocks that a test turns."""

    def __init__(self) -> None:
        self.now: Times = (100.0, 5000.0, 200.0)
        self.clocks = Clocks(lambda: self.now)

    def turn(self, run: float, wall: float, boot: float) -> bool:
        self.now = (self.now[0] + run, self.now[1] + wall, self.now[2] + boot)
        return self.clocks.slept()


LONG = SLEPT_SECONDS + 1.0


@pytest.mark.parametrize(
    ("what", "step", "slept"),
    [
        ("nothing", (LOOK_EVERY, LOOK_EVERY, LOOK_EVERY), False),
        ("a busy moment", (LOOK_EVERY + 5, LOOK_EVERY + 5, LOOK_EVERY + 5), False),
        ("the clock was corrected", (LOOK_EVERY, LOOK_EVERY + 3, LOOK_EVERY), False),
        ("the clock was set back", (LOOK_EVERY, -3600, LOOK_EVERY), False),
        ("the machine slept", (LOOK_EVERY, LONG + LOOK_EVERY, LONG + LOOK_EVERY), True),
        ("it slept and its wall clock does not say so", (LOOK_EVERY, LOOK_EVERY, LONG + LOOK_EVERY), True),
        ("the process was stopped", (LONG + LOOK_EVERY, LONG + LOOK_EVERY, LONG + LOOK_EVERY), True),
    ],
)
def test_a_sleep_is_told_from_ordinary_time(what: str, step: Times, slept: bool) -> None:
    dial = Dial()
    assert dial.turn(*step) is slept, what
    assert not dial.turn(LOOK_EVERY, LOOK_EVERY, LOOK_EVERY), "once is enough"


def test_the_real_clocks_of_this_machine_do_not_look_like_a_sleep() -> None:
    assert not Clocks().slept()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10 * PATIENCE):
        while not true():
            await asyncio.sleep(0.01)


async def test_a_change_of_addresses_is_told_once_and_so_is_the_first_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network_watch, "LOOK_EVERY", 0.02)
    told: list[NetworkChanged] = []
    tags = [b"home"]
    async with NetworkWatch(told.append, tag=lambda: tags[-1]):
        assert told == [NetworkChanged(b"home")]
        tags.append(b"office")
        await until(lambda: len(told) == 2)
        tags.append(b"home")
        await until(lambda: told[-1].network == b"home")
    assert told == [NetworkChanged(b"home"), NetworkChanged(b"office"), NetworkChanged(b"home")]


async def test_where_the_system_tells_nothing_the_list_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(network_watch, "LOOK_EVERY", 0.02)
    monkeypatch.delattr(socket, "AF_NETLINK", raising=False)
    told: list[NetworkChanged] = []
    tags = [b"home"]
    async with NetworkWatch(told.append, tag=lambda: tags[-1]):
        tags.append(b"office")
        await until(lambda: len(told) == 2)


def test_the_same_network_has_the_same_tag() -> None:
    assert network_tag() == network_tag()
    assert len(network_tag()) == 8


IN_A_NAMESPACE = """
import asyncio, subprocess, time
from peer.edge import network_watch

network_watch.LOOK_EVERY = 60.0  # so that only the system's word can be heard

async def main():
    told = []
    async with network_watch.NetworkWatch(told.append):
        for command in (
            "link add w0 type veth peer name w1",
            "link set w1 up",
            "link set w0 up",
            "address add 192.0.2.7/24 dev w0",
            "route add default via 192.0.2.1",
            "route del default",
        ):
            subprocess.run(["ip", *command.split()], check=True)
            async with asyncio.timeout(5):
                while told[-1].network != network_watch.network_tag():
                    await asyncio.sleep(0.01)
    print(len({event.network for event in told}))

asyncio.run(main())
"""


@pytest.mark.needs("unshare", "ip")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, because it makes a network namespace")
def test_the_system_tells_of_a_new_address_and_of_a_lost_route() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["unshare", "--net", "--", sys.executable, "-c", IN_A_NAMESPACE],
        capture_output=True,
        text=True,
        timeout=40 * PATIENCE,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
