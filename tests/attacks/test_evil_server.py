"""What the signaling server can see and do, tried with real processes behind a recording proxy."""

import base64
import os
import re
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.evil_server import MEDDLING, EvilServer
from tests.e2e.town import Town, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SECRETS = {
    "a file name": b"quarterly-figures.md",
    "a folder name": b"board-papers",
    "text": b"we will buy the competitor",
    "a text with other letters": "Übernahme 日本".encode(),
    "a device name": b"annas-laptop",
    "the other device name": b"bens-tower",
}


def forms(secret: bytes) -> list[bytes]:
    """How a secret could be found in a recording."""
    encoded = [base64.b64encode(secret[shift:])[2:-4] for shift in range(3)]
    return [secret, secret.hex().encode(), *(form for form in encoded if len(form) > 6)]


@pytest.mark.parametrize("policy", ["auto", "relay"])
def test_the_server_sees_no_name_no_text_no_address_and_no_fingerprint(town: Town, policy: str) -> None:
    _, url = town.serve()
    with EvilServer(url) as evil:
        anna, ben = town.place / "a" / "board-papers", town.place / "b" / "board-papers"
        anna.mkdir(parents=True)
        (anna / "quarterly-figures.md").write_bytes(SECRETS["text"] + SECRETS["a text with other letters"])
        sharer, link = town.share("annas-laptop", anna, "--server", evil.url, "--path", policy)
        joiner = town.join("bens-tower", link, ben, "--path", policy)
        for program in (sharer, joiner):
            program.wait_for("peer.path", 20 * town.patience, path="relay" if policy == "relay" else "direct")
        until((ben / "quarterly-figures.md").exists, 10 * town.patience, "the file")
        (ben / "quarterly-figures.md").write_bytes(b"changed: " + SECRETS["text"])
        until(
            lambda: (anna / "quarterly-figures.md").read_bytes().startswith(b"changed"),
            10 * town.patience,
            "the edit",
        )
        recording = b"\n".join(evil.seen)
    assert len(recording) > 3000, "the recording is of a real session"
    for what, secret in SECRETS.items():
        for form in forms(secret):
            assert form not in recording, f"the server saw {what}"
    frames = b"\n".join(message for message in evil.seen if message[:1] == b"\x01")
    assert not re.search(rb"\d+\.\d+\.\d+\.\d+ \d+ typ|a=fingerprint|a=candidate|v=0\r\n|ice-ufrag", frames)
    assert b"127.0.0.1" not in frames
    assert link.removeprefix("weft:").encode()[:60] not in recording


@pytest.mark.parametrize("how", MEDDLING)
def test_a_server_that_meddles_can_stop_a_link_but_not_change_it(town: Town, how: str) -> None:
    _, url = town.serve()
    with EvilServer(url, seed=int(os.environ.get("SEED", "1"))) as evil:
        anna, ben = town.place / "a" / "notes", town.place / "b" / "notes"
        anna.mkdir(parents=True)
        originals = {f"file{number}.md": f"text {number} 日本\n" * 50 for number in range(20)}
        for name, text in originals.items():
            (anna / name).write_text(text)
        _, link = town.share("anna", anna, "--server", evil.url, "--path", "relay")
        evil.meddle = MEDDLING[how]
        joiner = town.start("ben", "join", link, str(ben), "--name", "ben", "--path", "relay")
        until(lambda: evil.meddled >= 5, 30 * town.patience, f"a server that {how}")
        evil.meddle = None
        until(
            lambda: all((ben / name).exists() for name in originals),
            60 * town.patience,
            "everything, once the server behaves",
        )
        for name, text in originals.items():
            until(partial(_holds, ben / name, text), 10 * town.patience, name)
        assert sorted(file.name for file in ben.iterdir() if file.is_file()) == sorted(originals)
        joiner.ask_to_end()


def _holds(file: Path, text: str) -> bool:
    return file.read_text() == text
