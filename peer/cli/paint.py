"""Colours, where they are wanted; they stand only beside words."""

from collections.abc import Mapping
from typing import Final

__all__ = ["paint", "wants_color"]

_COLORS: Final = {"strong": "1;33", "good": "32", "warn": "33", "bad": "1;31", "dim": "2", "head": "1"}


def wants_color(choice: str, is_terminal: bool, environ: Mapping[str, str]) -> bool:
    """Whether to use colour: `--color`, then NO_COLOR, then FORCE_COLOR, then what the stream is."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR") or environ.get("WEFT_NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return is_terminal and environ.get("TERM") != "dumb"


def paint(text: str, style: str, color: bool) -> str:
    """*text* in one of our few colours."""
    return f"\x1b[{_COLORS[style]}m{text}\x1b[0m" if color else text
