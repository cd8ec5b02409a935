"""What we write is understood, and credentials of `weft serve` are good for as long as it says."""

import asyncio
import os
import random
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.edge.signaling_client import SignalingClient
from peer.edge.turn_client import Rejected, connected, targets
from signaling.messages import IceServer
from signaling.server import RoomServer
from signaling.settings import Settings
from signaling.turn_command import templates
from signaling.turn_config import DENIED, TurnConfig, render
from tests.conftest import TEST_ALL
from tests.turn.coturn import PATIENCE, SECRET, certificate, coturn, credential

COMPLAINTS = ("warning", "error", "bad configuration", "wrong", "unknown", "cannot")
OF_THE_TEST = "allow_loopback_peers"
"""An option of ours that only tests give."""


@pytest.mark.needs("turnserver")
@pytest.mark.parametrize("kind", ["plain", "tls", "nat"])
async def test_coturn_accepts_every_line_without_a_complaint(tmp_path: Path, kind: str) -> None:
    settings: dict[str, Any] = {}
    if kind == "tls":
        chain, key, _ = certificate(tmp_path)
        settings = {"certificate": chain, "key": key}
    elif kind == "nat":
        settings = {"external": ("198.51.100.7",), "listen": ("127.0.0.1",), "deny": ("192.31.196.0/24",)}
    async with coturn(tmp_path / "turn", **settings) as server:
        lines = [line for line in server.said().splitlines() if OF_THE_TEST not in line]
    assert [line for line in lines if any(word in line.lower() for word in COMPLAINTS)] == []
    said = "\n".join(lines)
    assert said.count("Black listing: ") == len(DENIED) + (kind == "nat")
    assert "White listing: 127.0.0.1" in said


@pytest.mark.needs("turnserver")
async def test_a_mistake_in_a_line_would_be_seen(tmp_path: Path) -> None:
    def mistaken(text: str) -> str:
        return text.replace("stale-nonce=600", "stale-nonsense=600\ndenied-peer-ip=10.0.0.0/8")

    async with coturn(tmp_path, change=mistaken) as server:
        said = server.said().lower()
    assert "bad configuration format" in said
    assert "wrong" in said


@pytest.mark.needs("nft", "unshare")
def test_the_firewall_rules_can_be_loaded_again_and_again(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        if TEST_ALL:
            pytest.fail("needs root for a network of its own, and WEFT_TEST_ALL asks for every test")
        pytest.skip("needs root for a network of its own")
    both = TurnConfig(
        domain="turn.example.org",
        external=("192.31.196.7", "2606::7"),
        listen=("10.0.0.5", "2606::7"),
        certificate="/c",
        key="/k",
    )
    little = TurnConfig(domain="turn.example.org")
    for config in (both, little):
        # the user of Debian's package, who need not be here
        rules = render(config, templates())["turn.nft"].replace('"turnserver"', "65534")
        file = tmp_path / "turn.nft"
        file.write_text(rules)
        load = f"nft -f {file} && nft -f {file} && nft list table inet weft_turn"
        done = subprocess.run(["unshare", "-n", "sh", "-c", load], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("type filter hook") == 2
        assert done.stdout.count("169.254.0.0/16") == 1


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_the_drop_in(tmp_path: Path) -> None:
    config = TurnConfig(domain="turn.example.org", certificate="/c", key="/k")
    drop_in = render(config, templates())["coturn-weft.conf"]
    unit = tmp_path / "coturn.service"
    program = shutil.which("true") or "/bin/true"
    unit.write_text(f"{drop_in}ExecStart={program}\n")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert str(unit) not in done.stderr, done.stderr


@pytest.mark.needs("turnserver")
async def test_a_session_that_outlives_its_credentials_always_has_good_ones(tmp_path: Path) -> None:
    """A life of five seconds: what the client holds is accepted at every moment of three lives."""
    life = 5.0
    async with coturn(tmp_path) as turn:
        settings = Settings(
            port=0, turn=(f"{turn.url}?transport=udp",), turn_secret=f"{SECRET}\n", turn_seconds=life
        )
        held: list[Sequence[IceServer]] = []
        async with RoomServer(settings) as server:
            client = SignalingClient(
                [server.url],
                Ed25519PrivateKey.generate(),
                lambda event: None,
                lambda address, payload: None,
                rng=random.Random(1),
                on_ice_servers=held.append,
            )
            running = asyncio.create_task(client.run())
            async with asyncio.timeout(PATIENCE):
                while not held:
                    await asyncio.sleep(0.01)
            first = held[0][0]
            until = time.monotonic() + 3 * life
            while time.monotonic() < until:
                client.check_ice_servers()
                assert await accepts(held[-1][0])
                await asyncio.sleep(0.2)
            assert not await accepts(first)
            assert len(held) >= 5
            await client.aclose()
            await asyncio.wait((running,))


async def accepts(server: IceServer) -> bool:
    """Whether the TURN server lets us in with what we hold."""
    target = targets(server.urls[0])[0]
    async with connected(target, server.username or "", server.credential or "") as client:
        try:
            await client.allocate()
        except Rejected as refusal:
            if refusal.code != 401:
                raise
            return False
        return True


@pytest.mark.needs("turnserver")
async def test_an_allocation_outlives_the_credential_that_it_was_made_with(tmp_path: Path) -> None:
    """What the protocol page says of coturn, and why an attempt needs good ones only when it begins."""
    short = credential(2)
    async with coturn(tmp_path) as turn, connected(targets(turn.url)[0], *short) as client:
        await client.allocate()
        async with asyncio.timeout(PATIENCE):
            while await accepts(IceServer((turn.url,), *short)):
                await asyncio.sleep(0.1)
        await client.permit("1.1.1.1")
