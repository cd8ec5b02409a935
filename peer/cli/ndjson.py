"""What machines read: one JSON object per line on stdout.

Every record has `schema`, `seq`, `t` (unix seconds) and `type`.  Records, fields and values are only
ever added, so a reader ignores what it does not know.  Everything is ASCII: no reader can take a rare
line separator in somebody's file name for the end of a record.  An `error` that has `exit` is the last
record of a command that failed; one without is trouble that the session lives with.
"""

import json
import time
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Final

from peer.cli.errors import Problem
from peer.cli.outlet import Outlet
from peer.cli.view import SessionLike
from peer.core.notices import Notice, PresenceChanged

__all__ = ["SCHEMA", "Records", "problem_fields"]

SCHEMA: Final = 1


class Records:
    """A view that writes records."""

    def __init__(
        self,
        stream: IO[bytes],
        command: str,
        *,
        presence: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outlet = Outlet(stream)
        self._command = command
        self._presence = presence
        self._clock = clock
        self._seq = 0

    def opening(self) -> None:
        """Nothing to tell a machine yet."""

    def started(self, session: SessionLike) -> None:
        """`session.start`, then `invite.ready` if this side can invite."""
        self.record(
            "session.start",
            command=self._command,
            session=session.session_id,
            folder=str(session.folder) if session.folder else None,
            role=session.role,
            resumed=session.resumed,
            files=session.files,
            text_bytes=session.text_bytes,
        )
        if session.link:
            self.record("invite.ready", link=session.link)

    def notice(self, notice: Notice) -> None:
        """A record of the notice's own type with its own fields."""
        if isinstance(notice, PresenceChanged) and not self._presence:
            return
        self.record(notice.type, **{field.name: getattr(notice, field.name) for field in fields(notice)})

    def warning(self, code: str, message: str) -> None:
        """`warning`."""
        self.record("warning", code=code, message=message, path=None)

    def patience(self) -> float | None:
        """Nothing is ever held back."""
        return None

    def flush(self) -> None:
        """Nothing is ever held back."""

    def unread(self) -> bool:
        """Whether the reader has closed our stdout."""
        return self._outlet.broken

    def leaving(self, session: SessionLike) -> None:
        """Nothing to tell: the summary follows."""

    def ended(self, summary: dict[str, object]) -> None:
        """`summary`, the last record of a good end."""
        self.record("summary", **summary)

    def failed(self, problem: Problem) -> None:
        """`error` with `exit`, the last record of a bad end."""
        self.record("error", **problem_fields(problem))

    def close(self) -> None:
        """Wait a moment for the reader."""
        self._outlet.close()

    def record(self, type_: str, **values: object) -> None:
        """Write one record; says so when a slow reader has missed some."""
        skipped = self._outlet.take_skipped()
        if skipped:
            message = f"{skipped} records were left out because nobody read them in time"
            self._write("warning", {"code": "W-RECORDS-SKIPPED", "message": message, "path": None})
        self._write(type_, values)

    def _write(self, type_: str, values: dict[str, object]) -> None:
        self._seq += 1
        head = {"schema": SCHEMA, "seq": self._seq, "t": round(self._clock(), 3), "type": type_}
        self._outlet.write(json.dumps({**head, **values, **head}).encode() + b"\n")


def problem_fields(problem: Problem) -> dict[str, object]:
    """What a machine is told about a failure."""
    return {
        "code": problem.code,
        "exit": int(problem.exit),
        "message": problem.message,
        "hint": problem.do or problem.likely,
        "paths": list(problem.names),
    }
