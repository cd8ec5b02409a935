"""Every measurement runs and prints its rows; what it measures is no business of a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import MEASUREMENTS, write_table
from bench.rows import Row, as_markdown, as_text, percentile
from bench.texts import KINDS, load_trace, load_two_authors, make_text, record
from tests.conftest import PATIENCE, TEST_ALL

ROOT = Path(__file__).parents[2]
ROWS = {
    "a": ["key stroke to remote document, 30/s, p50", "key stroke to remote document, 300/s, p99"],
    "b": ["file saved to file changed, 1 kB, p50"],
    "c": ["wire bytes per key stroke, alone (5/s)"],
    "c2": [
        "sveltecomponent, live edits",
        "friendsforever_flat, pre-recorded updates",
        "friendsforever, two authors at once, both have all",
    ],
    "d": ["join to first text over the relay", "join to direct path"],
    "e": ["first sync of 0.477 MiB of words, from knowing each other"],
    "f": ["20 files of 1 kB joined"],
    "g": ["relayed frames of 1200 B per CPU second", "idle memory per connection"],
    "h": ["memory of an idle session", "memory per further peer on a direct path"],
    "i": [
        "port-restricted - port-restricted: first text",
        "port-restricted - symmetric: path turn",
        "one LAN, no server anywhere: first text",
        "port-restricted - symmetric, 0.5 s of typing by both: bytes over TURN",
    ],
    "j": ["a move to a network with another NAT: writing arrives again"],
    "k": [
        "key stroke at 50 ms of round trip and 1 % of loss, 5/s, p50",
        "key stroke at 50 ms of round trip and 1 % of loss, 30/s, p99",
    ],
}


@pytest.mark.e2e
@pytest.mark.timeout(120 * PATIENCE)
@pytest.mark.parametrize("name", list(MEASUREMENTS))
def test_a_measurement_runs_and_prints_its_rows(name: str, tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "bench", "--quick", "--only", name, "--json", str(numbers)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads(numbers.read_text())
    if content["skipped"]:
        assert not TEST_ALL, content["skipped"]
        pytest.skip(content["skipped"][0])
    rows = content["rows"]
    assert {row["key"] for row in rows} == {name}
    assert all(row["value"] >= 0 and len(row["ours"]) > 0 for row in rows)
    for what in ROWS[name]:
        assert what in done.stdout
        assert what in [row["what"] for row in rows]


def test_a_ratio_is_taken_within_each_repetition() -> None:
    row = Row("a", "x", "µs", [10.0, 100.0, 1000.0], [5.0, 100.0, 2000.0], "floor", goal=1.0)
    assert row.ratio == 1.0
    assert row.met is True


def test_a_goal_of_a_rate_is_a_least_and_of_a_time_a_most() -> None:
    assert Row("e", "x", "MB/s", [7.0], [10.0], "floor", goal=0.8, more_is_better=True).met is False
    assert Row("e", "x", "MB/s", [9.0], [10.0], "floor", goal=0.8, more_is_better=True).met is True
    assert Row("b", "x", "ms", [70.0], goal=60.0).met is False
    assert Row("b", "x", "ms", [50.0]).met is None


def test_a_missed_goal_is_seen_in_the_table() -> None:
    missed = Row("b", "saved to changed", "ms", [70.0, 80.0, 60.0], goal=60.0)
    assert "NO" in as_text([missed])
    assert "| b | saved to changed | 70 ms (60–80) |" in as_markdown([missed])


def test_a_percentile_is_one_of_the_samples() -> None:
    samples = [float(number) for number in range(100)]
    assert percentile(samples, 50) == 50.0
    assert percentile(samples, 99) == 99.0
    assert percentile([3.0], 99) == 3.0


def test_the_table_replaces_what_is_between_the_markers_and_nothing_else() -> None:
    text = "before\n<!-- table: begin -->\nold\n<!-- table: end -->\nafter\n"
    assert write_table(text, "new") == "before\n<!-- table: begin -->\nnew\n<!-- table: end -->\nafter\n"


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="table: begin"):
        write_table("nothing here\n", "new")


def test_the_documentation_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "new" in write_table(text, "new")


def test_a_trace_cut_short_ends_with_what_its_patches_make() -> None:
    trace = load_trace("sveltecomponent").first(100)
    assert len(trace.patches) == 100
    assert len(record(trace, 7)) == 100
    whole = load_trace("friendsforever_flat")
    assert whole.first(len(whole.patches)).end == whole.end
    text = ""
    for at, deleted, inserted in whole.patches:
        text = text[:at] + inserted + text[at + deleted :]
    assert text == whole.end


def test_two_authors_come_to_the_text_that_their_trace_ends_with() -> None:
    both = load_two_authors("friendsforever", (11, 12), None)
    assert both.end == load_trace("friendsforever_flat").end
    assert min(len(steps) for steps in both.steps) > 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_made_texts_are_as_long_as_asked_and_the_same_each_time(kind: str) -> None:
    assert len(make_text(kind, 10_000, 1)) == 10_000
    assert make_text(kind, 10_000, 1) == make_text(kind, 10_000, 1)
    assert make_text(kind, 10_000, 1) != make_text(kind, 10_000, 2)
