"""How things are said to people: sizes, times, paths, names that came from others."""

import re
import shlex
import unicodedata
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

__all__ = [
    "again_command",
    "cells",
    "count",
    "duration",
    "host",
    "join_command",
    "moment",
    "path_words",
    "place",
    "plain",
    "size",
    "wrap",
]

NAME_LIMIT: Final = 120
"""Characters shown of a name or path that came from somebody else."""

ADDRESS_LIMIT: Final = 48
"""The longest IPv6 address with its port."""

_COLOR: Final = re.compile("\x1b\\[[0-9;]*m")
"""What `paint` puts around a text; it takes no room."""

_ZERO_WIDTH_JOINER: Final = "\u200d"
"""Not printable by itself, but family emoji need it."""


def plain(text: str, limit: int = NAME_LIMIT) -> str:
    """*text* without anything that could steer a terminal or turn the line around, cut to *limit*."""
    safe = "".join(
        character if character.isprintable() or character == _ZERO_WIDTH_JOINER else "\ufffd"
        for character in text[: limit + 1]
    )
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"


def cells(text: str) -> int:
    """How many columns of a terminal *text* takes: two for a wide character, none for a combining one."""
    return sum(
        0
        if unicodedata.category(character) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )


def wrap(text: str, width: int, *, indent: int) -> list[str]:
    """*text*, which may have colours, in lines of *width* columns, broken at spaces.

    What goes on below begins with *indent* spaces; a word that is too long for a line stays whole.
    """
    lines, room = [""], width
    for word in re.findall(r" *[^ ]+", text):
        size = cells(_COLOR.sub("", word))
        if size > room and lines[-1].strip():
            lines.append(" " * indent)
            word, room = word.lstrip(" "), width - indent
            size = cells(_COLOR.sub("", word))
        lines[-1] += word
        room -= size
    return lines


def count(number: int, noun: str) -> str:
    """*number* and *noun*, in the plural when there is not exactly one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: int) -> str:
    """A number of bytes with the unit that fits."""
    if number < 1000:
        return count(number, "byte")
    if number < 1_000_000:
        return f"{number / 1000:.0f} kB"
    return f"{number / 1_000_000:.1f} MB"


def duration(seconds: float) -> str:
    """A span of time, as exact as a person wants to know it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(ms: float) -> str:
    """How long a step took, given in milliseconds."""
    if ms < 1:
        return "under 1 ms"
    return f"{ms:.0f} ms" if ms < 1000 else duration(ms / 1000)


def host(server: str) -> str:
    """The part of a server's address that people recognise."""
    address = urlsplit(server).netloc if "//" in server else server
    return plain(address.rpartition("@")[2]) or "the server"


def path_words(path: str, server: str, address: str = "") -> str:
    """What carries a link, in the same words on both sides; *server* is the one that introduces.

    A TURN server is another program, maybe elsewhere: the *address* of such a path is one of its own.
    """
    words = {
        "lan": "on this network",
        "direct": "direct",
        "turn": "relayed by TURN" + (" at" if address else ""),
        "relay": f"relayed by {server} (end-to-end encrypted)",
    }
    return " ".join(filter(None, (words.get(path, plain(path)), plain(address, ADDRESS_LIMIT))))


def place(folder: Path) -> str:
    """A folder as the person would write it: `notes/`, or the name of the current one."""
    try:
        shown = folder.resolve().relative_to(Path.cwd())
    except ValueError:
        shown = folder
    text = str(shown) if str(shown) != "." else folder.resolve().name
    return plain(text) if folder.is_file() else plain(text).rstrip("/") + "/"


def again_command(command: str, folder: Path | None) -> str:
    """How `share` or `join` is typed to go on with *folder*, where the command was typed before."""
    if folder is None or folder.resolve() == Path.cwd():
        return f"weft {command}"
    return f"weft {command} {shlex.quote(place(folder))}"


def join_command(link: str, *, server: str | None = None, policy: str = "auto") -> str:
    """The command that joins, with the flags without which the two sides would not meet."""
    parts = ["weft", "join", shlex.quote(link)]
    if server:
        parts += ["--server", shlex.quote(server)]
    if policy != "auto":
        parts += ["--path", policy]
    return " ".join(parts)
