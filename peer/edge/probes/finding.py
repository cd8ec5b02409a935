"""What a probe found: good, could be better, or broken; why; and one command that helps."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["GROUPS", "Finding", "Verdict", "attempt", "broken", "note", "ok", "skipped"]

GROUPS: Final = {
    "computer": "This computer",
    "lan": "This network",
    "internet": "Internet",
    "server": "Server",
    "peer": "Peer",
    "self": "This installation",
}
"""The first part of each finding's id, in the order in which people read them."""


Data = Mapping[str, object] | None


class Verdict(StrEnum):
    """What a finding means for the person."""

    OK = "ok"
    NOTE = "note"
    """It works, or works another way; it could be better."""
    BROKEN = "broken"
    """Something that is needed does not work."""
    SKIPPED = "skipped"
    """Not looked at, or of no use here; the words say why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's answer.

    Attributes:
        id: stable name, `group.check`; scripts rely on it.
        title: the same in words.
        verdict: what it means.
        found: what was seen, in a few words.
        cause: the likely reason, if it is not good.
        do: one command or act that helps, if there is one.
        ms: how long the other side took, in milliseconds.
        data: the same for programs, ready for JSON; no secrets.
    """

    id: str
    title: str
    verdict: Verdict
    found: str
    cause: str = ""
    do: str = ""
    ms: float | None = None
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """The part of the id before the dot, a key of `GROUPS`."""
        return self.id.partition(".")[0]


def ok(id_: str, title: str, found: str, *, ms: float | None = None, data: Data = None) -> Finding:
    """All is well."""
    return Finding(id_, title, Verdict.OK, found, ms=ms, data=data or {})


def note(id_: str, title: str, found: str, *, cause: str = "", do: str = "", data: Data = None) -> Finding:
    """It works, but could be better."""
    return Finding(id_, title, Verdict.NOTE, found, cause, do, data=data or {})


def broken(id_: str, title: str, found: str, *, cause: str = "", do: str = "", data: Data = None) -> Finding:
    """Something needed does not work."""
    return Finding(id_, title, Verdict.BROKEN, found, cause, do, data=data or {})


def skipped(id_: str, title: str, found: str) -> Finding:
    """Nothing was looked at; *found* says why."""
    return Finding(id_, title, Verdict.SKIPPED, found)


async def attempt(id_: str, title: str, probe: Awaitable[list[Finding]], *, seconds: float) -> list[Finding]:
    """Run *probe* for at most *seconds*; a probe that fails or hangs becomes a finding about itself."""
    try:
        async with asyncio.timeout(seconds):
            return await probe
    except TimeoutError:
        return [note(id_, title, f"this check did not end within {seconds:g} s", cause="something hangs")]
    except Exception as error:  # one check that fails must not take the others with it
        return [note(id_, title, "this check itself failed", cause=f"{type(error).__name__}: {error}")]
