"""What the server says about itself: one line per event, for a person or, as NDJSON, for a program.

Lines hold no room id and, unless the operator asks for it, no IP address. Under a flood of events
of one kind most are only counted, and the next line of that kind says how many were left out.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from signaling.limits import Bucket

__all__ = ["SCHEMA", "Journal"]

SCHEMA: Final = 1
"""Version of the NDJSON lines. Fields and types may be added under the same number."""

_LINES_PER_SECOND: Final = 20.0
_LINES_AT_ONCE: Final = 200.0
"""Per kind of event: a busy day is logged in full, an attack does not fill the disk."""


class Journal:
    """Writes events, as the `report` of a server."""

    def __init__(self, stream: TextIO, *, as_json: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._as_json = as_json
        self._clock = clock
        self._sequence = 0
        self._pace: dict[str, Bucket] = {}
        self._left_out: dict[str, int] = {}

    def report(self, event: str, fields: dict[str, object]) -> None:
        """Write one event, unless too many of its kind came lately."""
        now = self._clock()
        pace = self._pace.setdefault(event, Bucket(_LINES_PER_SECOND, _LINES_AT_ONCE, now))
        if not pace.take(now):
            self._left_out[event] = self._left_out.get(event, 0) + 1
            return
        left_out = self._left_out.pop(event, 0)
        self._write(event, {**fields, "left_out": left_out} if left_out else fields)

    def _write(self, event: str, fields: dict[str, object]) -> None:
        moment = datetime.now(UTC)
        self._sequence += 1
        if self._as_json:
            head = {"schema": SCHEMA, "seq": self._sequence, "t": moment.timestamp(), "type": event}
            line = msgspec.json.encode({**head, **fields}).decode()
        else:
            pairs = "".join(f" {name}={value}" for name, value in fields.items())
            line = f"{moment:%Y-%m-%dT%H:%M:%SZ} {event}{pairs}"
        # The reader of our log may go away, or its disk be full; serving people matters more.
        with suppress(OSError):
            self._stream.write(f"{line}\n")
            self._stream.flush()
