"""Pings that people ask for: which heartbeat belongs to which question, and how long its answer took."""

from typing import Final

__all__ = ["OPEN_AT_ONCE", "Questions"]

OPEN_AT_ONCE: Final = 8
"""On one carrier; as many pings as are remembered at all (`carrier.PINGS_REMEMBERED`)."""


class Questions:
    """What was asked on one carrier and not answered yet.

    Attributes:
        answers: number of the question and seconds to its answer; whoever tells them empties it.
    """

    def __init__(self) -> None:
        self.answers: list[tuple[int, float]] = []
        self._open: dict[int, int] = {}

    def asked(self, ping: int, question: int | None) -> None:
        """Heartbeat number *ping* is to answer *question*, if any; of too many the oldest is forgotten."""
        if question is None:
            return
        self._open[ping] = question
        if len(self._open) > OPEN_AT_ONCE:
            del self._open[next(iter(self._open))]

    def answered(self, ping: int, seconds: float) -> None:
        """Heartbeat number *ping* came back; it may belong to no question."""
        if (question := self._open.pop(ping, None)) is not None:
            self.answers.append((question, seconds))
