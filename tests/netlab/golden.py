"""The tables of docs/connectivity.md: what the documentation promises is what the tests expect."""

import re
from pathlib import Path
from typing import Final

from tests.netlab.nats import Kind

__all__ = ["chained_pairs", "golden_pairs", "mixed_pairs"]

PAGE: Final = Path(__file__).parents[2] / "docs" / "connectivity.md"
WORDS: Final = ("lan", "direct", "turn", "relay")


def _rows(title: str) -> list[list[str]]:
    """The cells of the first table below a headline, without its dashes."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    cells = [[cell.strip().strip("*") for cell in line.split("|")] for line in lines]
    return [row for row in cells if set("".join(row)) != {"-"}]


def golden_pairs() -> dict[tuple[Kind, Kind], str]:
    """The path for each (sharer, joiner).

    Raises:
        ValueError: the table has a word or a kind that nobody knows.
    """
    head, *rows = _rows("The golden table")
    joiners = [Kind(word) for word in head[1:]]
    pairs = {
        (Kind(row[0]), joiner): word for row in rows for joiner, word in zip(joiners, row[1:], strict=True)
    }
    if unknown := set(pairs.values()) - set(WORDS):
        raise ValueError(f"{PAGE.name} has {unknown} for a path")
    return pairs


def chained_pairs() -> dict[str, str]:
    """The path by where the two are, for more than one NAT."""
    return {row[0]: row[1] for row in _rows("More than one NAT")[1:]}


def mixed_pairs() -> dict[str, str]:
    """The path by where the two are, with IPv6 and in networks for guests."""
    return {row[0]: row[1] for row in _rows("IPv6, and guests")[1:]}
