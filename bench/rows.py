"""One line of the table: what was measured, against which floor, and what it should be."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Row", "as_json", "as_markdown", "as_text", "percentile"]

HEADINGS: Final = ("", "what", "Weft", "floor", "ratio", "goal", "")
_MANY: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, once per repetition.

    Attributes:
        key: the letter of the list in `docs/performance.md`.
        ours: what Weft did, one number per repetition.
        floor: what the floor did right before or after, one number for each of ours; or nothing.
        floor_name: what the floor is.
        goal: of the ratio ours / floor, or of ours itself where there is no floor; `None` for a row that
            only informs.
        more_is_better: for a rate; less is better for a time or a size.
    """

    key: str
    what: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float] = ()
    floor_name: str = ""
    goal: float | None = None
    more_is_better: bool = False
    details: dict[str, object] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of ours."""
        return statistics.median(self.ours)

    @property
    def floor_value(self) -> float | None:
        """The median of the floor."""
        return statistics.median(self.floor) if self.floor else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of each repetition."""
        if not self.floor:
            return None
        return statistics.median(a / b if b else 0.0 for a, b in zip(self.ours, self.floor, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; `None` if there is none."""
        if self.goal is None:
            return None
        judged = self.value if self.ratio is None else self.ratio
        return judged >= self.goal if self.more_is_better else judged <= self.goal

    def cells(self) -> tuple[str, ...]:
        """The row as people read it."""
        ratio, floor = self.ratio, self.floor_value
        return (
            self.key,
            self.what,
            f"{_number(self.value)} {self.unit} ({_spread(self.ours)})",
            "" if floor is None else f"{_number(floor)} {self.unit} ({self.floor_name})",
            "" if ratio is None else f"{ratio:.2f}",
            self._goal_text(),
            {True: "yes", False: "NO", None: ""}[self.met],
        )

    def _goal_text(self) -> str:
        if self.goal is None:
            return ""
        sign = "≥" if self.more_is_better else "≤"
        unit = "" if self.floor else f" {self.unit}"
        return f"{sign} {_number(self.goal)}{unit}"


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that is not below *percent* of all."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _number(value: float) -> str:
    if value >= _MANY:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _spread(values: Sequence[float]) -> str:
    return f"{_number(min(values))}–{_number(max(values))}"


def as_text(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """The table for the documentation."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(row: Row) -> dict[str, object]:
    """The row for programs."""
    return {
        "key": row.key,
        "what": row.what,
        "unit": row.unit,
        "ours": list(row.ours),
        "floor": list(row.floor),
        "floor_name": row.floor_name,
        "value": row.value,
        "floor_value": row.floor_value,
        "ratio": row.ratio,
        "goal": row.goal,
        "more_is_better": row.more_is_better,
        "met": row.met,
        "details": row.details,
    }
