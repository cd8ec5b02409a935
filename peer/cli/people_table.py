"""The people of a session as a table that fits the terminal."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from peer.cli.paint import paint
from peer.cli.sessions import peers_of
from peer.cli.wording import cells, count, duration, host, path_words, place, plain, size, wrap

__all__ = ["lines", "short", "worst"]

GAP: Final = 2
"""Columns between two cells."""
NAME_LIMIT: Final = 24
WHERE_LEAST: Final = 8
"""Characters of a file's name that are left when the terminal is too narrow."""

_RELAYED: Final = ("relay", "turn")
_STYLES: Final = {"editing": "good", "silent": "warn", "away": "warn"}

Peer = dict[str, object]
Column = tuple[str, Callable[[Peer], str]]


def lines(session: dict[str, object], *, width: int = 1000, color: bool = False) -> list[str]:
    """One session as people read it, in *width* columns if that can be; missing fields are shown as `-`."""
    peers, server = peers_of(session), _server(session)
    shown = [*_head(session, count(len(peers), "other"), server, width), *_at(session)]
    if not peers:
        return [*shown, "  nobody else is here"]
    return [*shown, *_table(peers, server.partition(" ")[0], width, color), *_notes(peers, width)]


def _head(session: dict[str, object], others: str, server: str, width: int) -> list[str]:
    folder = session.get("folder")
    name = place(Path(str(folder))) if folder else "(no folder)"
    facts = [
        f"{name}  as {plain(str(session.get('role', '-')))}",
        others,
        count(int(_number(session.get("files"))), "file"),
        f"since {duration(_number(session.get('uptime_s')))}",
    ]
    shown = [facts[0]]
    for fact in (*facts[1:], f"server {server}"):
        if cells(shown[-1]) + cells(fact) + 3 <= width:
            shown[-1] += f" · {fact}"
        else:
            shown.append(f"  {fact}")
    return [line if cells(line) <= width else plain(line, width) for line in shown]


def _at(session: dict[str, object]) -> list[str]:
    """Where others on the network can be sent, if looking is not enough for them."""
    lan = session.get("lan")
    at = lan.get("at") if isinstance(lan, dict) else None
    return [f"  on this network  --at {plain(str(at[0]))}"] if isinstance(at, list) and at else []


def _server(session: dict[str, object]) -> str:
    server = session.get("server")
    if not isinstance(server, dict):
        return plain(str(server)) if server else "-"
    address, state = server.get("url"), server.get("state")
    if not address:
        return "none"
    named = host(str(address))
    return named if state in (None, "connected") else f"{named} ({plain(str(state))})"


# --- columns ------------------------------------------------------------------------------------------


def _table(peers: Sequence[Peer], server: str, width: int, color: bool) -> list[str]:
    """The widest form that fits; the narrowest is cut at its last column."""
    table: list[list[str]] = []
    for columns in _forms(server):
        table = [[title for title, _ in columns], *([cell(peer) for _, cell in columns] for peer in peers)]
        if 2 + sum(_widths(table)) + GAP * (len(columns) - 1) <= width:
            break
    widths = _widths(table)
    before = 2 + sum(widths[:-1]) + GAP * (len(widths) - 1)
    last = max(width - before, WHERE_LEAST)
    shown = []
    for number, row in enumerate(table):
        padded = [cell + " " * (wide - cells(cell)) for cell, wide in zip(row[:-1], widths[:-1], strict=True)]
        if number:
            state = str(peers[number - 1].get("state", ""))
            padded[1] = paint(padded[1], _STYLES[state], color) if state in _STYLES else padded[1]
        line = (" " * GAP).join([*padded, plain(row[-1], last)])
        shown.append(paint("  " + line.rstrip(), "dim", color) if number == 0 else "  " + line.rstrip())
    return shown


def _forms(server: str) -> list[list[Column]]:
    def path(peer: Peer) -> str:
        return _path(peer, server)

    def addressed(peer: Peer) -> str:
        return _path(peer, server, str(peer.get("address") or ""))

    def brief(peer: Peer) -> str:
        return "relayed" if peer.get("path") == "relay" else path(peer)

    name: Column = ("NAME", lambda peer: plain(str(peer.get("name", "-")), NAME_LIMIT))
    rest: list[Column] = [("RTT", _rtt), ("SENT/GOT", _bytes), ("WHERE", _where)]
    lean = [rest[0], rest[2]]
    state: Column = ("STATE", _state)
    return [
        [name, state, ("PATH", addressed), *rest],
        [name, state, ("PATH", path), *rest],
        [name, state, ("PATH", brief), *rest],
        [name, state, ("PATH", brief), *lean],
        [name, state, ("PATH", brief), lean[1]],
        [name, state, ("PATH", brief)],
    ]


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cells, column)) for column in zip(*table, strict=True)]


def _state(peer: Peer) -> str:
    state, idle = str(peer.get("state") or "-"), peer.get("idle_s")
    if state == "idle" and isinstance(idle, int | float):
        return f"idle {duration(idle)}"
    return plain(state, 16)


def _path(peer: Peer, server: str, address: str = "") -> str:
    heard = peer.get("heard_s")
    if isinstance(heard, int | float):
        return f"last heard {duration(heard)} ago"
    path = peer.get("path")
    return path_words(path, server, address) if isinstance(path, str) else "-"


def _rtt(peer: Peer) -> str:
    rtt = peer.get("rtt_ms")
    if not isinstance(rtt, int | float):
        return "-"
    return f"{rtt:.0f} ms" if rtt >= 1 else "<1 ms"


def _bytes(peer: Peer) -> str:
    if peer.get("state") == "away":
        return "-"
    sent, got = (int(_number(peer.get(name))) for name in ("sent_bytes", "received_bytes"))
    return f"{size(sent)} / {size(got)}"


def _where(peer: Peer) -> str:
    waiting = int(_number(peer.get("waiting")))
    waits = f"({count(waiting, 'edit')} {'waits' if waiting == 1 else 'wait'})" if waiting else ""
    return f"{plain(str(peer.get('file') or '-'))}  {waits}".rstrip() if peer.get("file") else waits or "-"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


# --- in a few words ------------------------------------------------------------------------------------


def _notes(peers: Sequence[Peer], width: int) -> list[str]:
    """Why somebody is relayed, and what tells more."""
    notes = []
    for peer in peers:
        why, name = peer.get("why_not_direct"), plain(str(peer.get("name", "-")), NAME_LIMIT)
        if peer.get("path") in _RELAYED and why:
            text = f"  note  {name} is relayed: {plain(str(why))}"
            more = f"weft doctor --peer {name}"
            if cells(text) + cells(more) + 3 <= width:
                notes.append(f"{text}   {more}")
            else:
                notes += [*wrap(text, width, indent=8), f"        {more}"]
    return notes


def worst(sessions: Sequence[dict[str, object]]) -> bool:
    """Whether anybody is relayed, silent or away."""
    everyone = [peer for session in sessions for peer in peers_of(session)]
    return any(peer.get("path") not in ("lan", "direct") or peer.get("silent") for peer in everyone)


def short(sessions: Sequence[dict[str, object]]) -> str:
    """All sessions in one line for a prompt: `2 others, direct`, `3 others: 2 direct, 1 relayed`."""
    everyone = [peer for session in sessions for peer in peers_of(session)]
    if not everyone:
        return "nobody else"
    kinds: dict[str, int] = {}
    for peer in everyone:
        kinds[_kind(peer)] = kinds.get(_kind(peer), 0) + 1
    people = count(len(everyone), "other")
    if len(kinds) == 1:
        return f"{people}, {next(iter(kinds))}"
    return f"{people}: " + ", ".join(f"{number} {kind}" for kind, number in kinds.items())


def _kind(peer: Peer) -> str:
    if peer.get("silent") or peer.get("path") is None:
        return "away"
    return "relayed" if peer.get("path") in _RELAYED else "direct"
