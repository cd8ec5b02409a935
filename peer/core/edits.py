"""Edits: changes to a text in code points, before they are CRDT updates."""

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Edit", "apply_edits"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Delete *deleted* code points at *at*, then insert *inserted* there.

    In a sequence of edits, each position counts in the text as the edits before it left it.
    """

    at: int
    deleted: int
    inserted: str


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """Carry out *edits* one after another on a plain string."""
    for edit in edits:
        text = text[: edit.at] + edit.inserted + text[edit.at + edit.deleted :]
    return text
