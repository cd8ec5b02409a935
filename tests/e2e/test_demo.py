"""What `make demo` runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from demo.programs import DemoFailed, wait_until
from demo.story import lines

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def shape(story: str) -> list[str]:
    """The lines of a story without what differs each time: numbers, the link, the space around them."""
    known = re.sub(r"weft:\S+", "weft:LINK", story.strip())
    return [re.sub(r"[\d\s.]+", " ", line) for line in known.splitlines()]


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path, patience: float) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30 * patience,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "path: direct" in run.stdout
    assert re.search(r"file saved → file changed +\d+ ms \(median of 20", run.stdout)
    assert run.stdout.endswith("The demo went well.\n")
    transcript = (
        (ROOT / "README.md")
        .read_text(encoding="utf-8")
        .partition("$ make demo\nThree")[2]
        .partition("\n$")[0]
    )
    assert shape(run.stdout) == shape(f"Three{transcript}"), "the README shows another demo than this"
    assert list(tmp_path.iterdir()) == []


def test_a_story_in_a_narrow_terminal_breaks_no_word_and_keeps_its_columns() -> None:
    told = lines(1.0, "ben", "weft join LINK notes", "has all 4 files, 7 ms after they met on the relay", 80)
    assert told == [
        "   1.0 s  ben     weft join LINK notes       has all 4 files, 7 ms after they",
        "                                             met on the relay",
    ]
    (url,) = lines(1.0, "server", "weft serve", "listens on http://127.0.0.1:46353", 80)
    assert len(url) <= 80


def test_a_demo_without_the_product_fails_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    (tmp_path / "tmp").mkdir()
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    (tmp_path / "weft").write_text("#!/bin/sh\necho 'no server today' >&2\nexit 7\n")
    (tmp_path / "weft").chmod(0o755)
    script = (
        f"import sys; sys.executable = {str(python)!r}; import demo.story as d; sys.exit(d.main(keep=False))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 1
    assert "error: server ended with exit code 7" in run.stderr
    assert "no server today" in run.stderr
    assert list((tmp_path / "tmp").iterdir()) == []


def test_waiting_has_a_limit_and_says_what_for() -> None:
    with pytest.raises(DemoFailed, match=r"spring did not happen within 0.01 seconds"):
        wait_until(lambda: False, 0.01, "spring")
