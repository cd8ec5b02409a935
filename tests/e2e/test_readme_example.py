"""The Python example of the README, run as it stands there."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

README = Path(__file__).parents[2] / "README.md"
LINES_LIMIT = 20


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that runs as a process of its own."""
    weft = str(Path(sys.executable).with_name("weft"))
    command = [weft, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()


def test_the_example_of_the_readme_does_what_it_says(server: str, patience: float) -> None:
    block = re.search(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert block is not None
    example = block[1]
    assert sum(bool(line.strip()) for line in example.splitlines()) <= LINES_LIMIT
    assert "http://127.0.0.1:8787" in example
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", example.replace("http://127.0.0.1:8787", server)],
        capture_output=True,
        text=True,
        timeout=30 * patience,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "日本 is far. So is the moon.\n"
    assert run.stderr == ""
