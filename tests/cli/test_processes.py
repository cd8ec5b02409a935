"""The command line as a real process: signals, pipes, closed terminals, and how fast it says something."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peer.edge.control import running
from tests.cli.fake_session import LINK

WEFT = [sys.executable, "-c", "from peer.cli.main import main; main()"]

FIRST_LINE_SECONDS = 0.15
SLACK = 4
"""Other programs share the machine with the tests; a regression (importing aiortc first) costs more."""


def fake(mode: str, wish: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.cli.fake_session", mode, wish, str(folder)]


def start(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": str(root)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": root, "env": environ, **options}
    return subprocess.Popen(command, **pipes)  # type: ignore[call-overload,no-any-return]


def wait_for_line(process: "subprocess.Popen[bytes]", stream: str, part: bytes) -> bytes:
    """Read until a line has *part* in it; the test's own limit ends it otherwise."""
    source = process.stdout if stream == "stdout" else process.stderr
    assert source is not None
    seen = b""
    for line in iter(source.readline, b""):
        seen += line
        if part in line:
            return seen
    raise AssertionError(f"{part!r} never came, only {seen!r}")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_first_signal_says_goodbye_and_ends_with_its_code(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with start(fake("json", "", tmp_path)) as process:
        wait_for_line(process, "stdout", b"peer.joined")
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
        assert process.returncode == code
    assert json.loads(out.splitlines()[-1])["type"] == "summary"
    assert err == b""
    assert running() == []


def test_people_are_told_that_their_files_stay(tmp_path: Path) -> None:
    with start(fake("terminal", "", tmp_path)) as process:
        wait_for_line(process, "stderr", b"ben joined")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert process.returncode == 130
    assert out == b""
    assert "leaving: telling 1 other; files stay as they are" in err.decode()
    assert b"\x1b" not in err


def test_a_second_signal_does_not_wait_for_the_goodbye(tmp_path: Path) -> None:
    with start(fake("terminal", "hangs", tmp_path)) as process:
        wait_for_line(process, "stderr", b"ben joined")
        process.send_signal(signal.SIGINT)
        wait_for_line(process, "stderr", b"goodbye hangs")
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert time.monotonic() - begin < 4  # the goodbye itself would be given up after 8


def test_a_signal_while_the_session_is_being_opened_ends_it(tmp_path: Path) -> None:
    with start(fake("terminal", "unopened", tmp_path)) as process:
        wait_for_line(process, "stderr", b"opening hangs")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def test_the_quiet_link_comes_at_once_through_a_pipe_and_the_session_goes_on(tmp_path: Path) -> None:
    with start(fake("quiet", "", tmp_path)) as process:
        assert wait_for_line(process, "stdout", b"weft:") == LINK.encode() + b"\n"
        assert process.stdout is not None
        process.stdout.close()  # as `| head -1` does
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 143
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_when_nobody_reads_the_records_any_more_the_session_is_left(tmp_path: Path) -> None:
    with start(fake("json", "floods", tmp_path)) as process:
        wait_for_line(process, "stdout", b"peer.joined")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=20) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_a_reader_that_stops_reading_does_not_stop_the_session(tmp_path: Path) -> None:
    with start(fake("json", "floods", tmp_path)) as process:
        wait_for_line(process, "stdout", b"peer.joined")
        status = weft("status", "--json")  # answered by a loop that has a full pipe in front of it
        assert json.loads(status.stdout)["sessions"][0]["pid"] == process.pid
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130


def test_a_closed_terminal_does_not_stop_the_session(tmp_path: Path) -> None:
    with start(fake("terminal", "floods", tmp_path)) as process:
        wait_for_line(process, "stderr", b"ben joined")
        assert process.stderr is not None
        process.stderr.close()
        assert weft("status", "--json").returncode == 0
        assert weft("stop", str(tmp_path)).returncode == 0
        assert process.wait(timeout=20) == 0


def weft(*arguments: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    with start([*WEFT, *arguments], **options) as process:
        out, err = process.communicate(timeout=20)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def test_status_and_stop_find_the_session_of_a_folder(tmp_path: Path) -> None:
    with start(fake("terminal", "", tmp_path)) as process:
        wait_for_line(process, "stderr", b"ben joined")
        shown = weft("status", str(tmp_path))
        assert shown.returncode == 0
        assert f"{tmp_path}/  as owner · 1 other · 14 files" in shown.stdout.decode()
        assert json.loads(weft("status", "--json").stdout)["sessions"][0]["folder"] == str(tmp_path)
        assert weft("status", str(tmp_path / "other")).returncode == 3
        stopped = weft("stop", str(tmp_path))
        assert (stopped.returncode, stopped.stdout) == (0, b"")
        assert process.wait(timeout=20) == 0
    assert weft("status").returncode == 3
    again = weft("stop", str(tmp_path))
    assert again.returncode == 3
    assert b"[E-NO-SESSION]" in again.stderr


def test_output_that_nobody_reads_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = weft("help", stdout=writing)
    os.close(writing)
    assert process.returncode == 1
    assert process.stderr == b""


def test_closed_standard_streams_do_not_crash(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tests.cli.fake_session json '' {tmp_path} >&- 2>&-"
    with start(["/bin/sh", "-c", "exec " + command]) as process:
        while not running():
            assert process.poll() in (None, 1)
            if process.poll() is not None:
                return
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (1, 130)


def best_of(times: int, measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(times))


def test_help_and_the_first_line_come_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    def until_first_line(*arguments: str) -> float:
        begin = time.monotonic()
        with start([*WEFT, *arguments], stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() != b""
            took = time.monotonic() - begin
            process.kill()
            process.stdout.read()
        return took

    share = ("share", str(tmp_path), "--server", "http://127.0.0.1:9")
    assert best_of(3, lambda: until_first_line("--help")) < FIRST_LINE_SECONDS * SLACK
    assert best_of(3, lambda: until_first_line(*share)) < FIRST_LINE_SECONDS * SLACK


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = (
        "{'aiortc', 'aiohttp', 'pycrdt', 'cryptography', 'asyncio', 'msgspec', 'OpenSSL', 'av', 'signaling'}"
    )
    code = (
        "import sys; from peer.cli.main import run_command; run_command(['--help']);"
        "import peer.cli.share, peer.cli.join, peer.cli.status, peer.cli.render, peer.cli.ndjson;"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    with start([sys.executable, "-c", code]) as process:
        _, err = process.communicate(timeout=20)
    assert err == b"[]\n"


def test_colours_are_for_terminals_only(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        colored = [sys.executable, "-c", "from peer.cli.main import main; main()", "share", str(tmp_path)]
        with start([*colored, "--server", "http://127.0.0.1:9"], stderr=theirs) as process:
            assert b"\x1b[" in os.read(ours, 4096)
            process.kill()
            process.wait(timeout=20)
    finally:
        os.close(ours)
        os.close(theirs)
