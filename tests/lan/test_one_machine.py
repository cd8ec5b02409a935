"""Two people on one machine, with nothing but its loop: needs no root where users may make namespaces."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import TEST_ALL
from tests.lan.network import Weft, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

ALONE = ("unshare", "-rn", "sh", "-c", "ip link set lo up && exec cat")


class Machine:
    """A namespace with a loop and nothing else; whoever starts something here has a home of their own."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._holder = subprocess.Popen(ALONE, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        own = os.readlink("/proc/self/ns/net")
        until(lambda: os.readlink(f"/proc/{self._holder.pid}/ns/net") != own, 20, "a network namespace")
        until(self._is_up, 20, "the loop")
        self.name, self.place = "", place

    def _is_up(self) -> bool:
        shown = subprocess.run(self.inside("ip", "-o", "link"), capture_output=True, text=True, check=False)
        return "LOOPBACK,UP" in shown.stdout

    def inside(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-U", "--preserve-credentials", "-n", *command]

    def of(self, name: str) -> "Machine":
        """The same machine, as *name* uses it."""
        self.name, self.place = name, self._place / name
        self.place.mkdir(parents=True, exist_ok=True)
        return self

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait()


@pytest.fixture
def machine(_places: Path) -> Iterator[Machine]:
    can = (
        sys.platform == "linux"
        and not subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode
    )
    if not can:
        reason = "users may not make network namespaces here"
        if TEST_ALL:
            pytest.fail(f"{reason}, and WEFT_TEST_ALL asks for every test", pytrace=False)
        pytest.skip(reason)
    machine = Machine(_places / "one-machine")
    try:
        yield machine
    finally:
        machine.close()


def test_two_people_on_one_machine_need_no_network(machine: Machine, patience: float) -> None:
    anna = machine.of("anna")
    here = anna.place / "notes/plan.md"
    here.parent.mkdir()
    here.write_text("one\n")
    sharer = Weft(anna, ("share", str(here.parent), "--name", "anna"))
    joiner = None
    try:
        link = str(sharer.wait_for("invite.ready")["link"])
        ben = machine.of("ben")
        there = ben.place / "notes/plan.md"
        joiner = Weft(ben, ("join", link, str(there.parent), "--name", "ben"))
        until(there.exists, 20 * patience, "the first text")
        there.write_text("one\ntwo\n")
        until(lambda: here.read_text() == "one\ntwo\n", 10 * patience, "an edit")
        assert not sharer.records("warning")
    finally:
        for weft in filter(None, (joiner, sharer)):
            weft.leave()
