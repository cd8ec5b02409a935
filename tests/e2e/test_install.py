"""What the README says about installing Weft from a checkout is true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_readme_says_how_to_have_weft_in_every_terminal() -> None:
    quick_start = (ROOT / "README.md").read_text().partition("## Quick start")[2].partition("\n## ")[0]
    assert "$ pipx install ." in quick_start
    assert "pip install ." in quick_start.replace("pipx install .", "")


def test_what_is_installed_from_a_checkout_is_the_command(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds the package, which pip would download otherwise")
    place = tmp_path / "installed"
    # Dependencies are here already, and nothing may be downloaded in a test.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(place), str(ROOT)], check=True, timeout=60)
    environ = {**os.environ, "PYTHONPATH": str(place)}
    weft = subprocess.run(
        [sys.executable, str(place / "bin" / "weft"), "help"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (weft.returncode, weft.stderr) == (0, "")
    assert "weft share notes/" in weft.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import peer, signaling; print(peer.__file__, signaling.__file__)"],
        env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert where.stdout.count(str(place)) == 2
