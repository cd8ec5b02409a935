"""Before joining into a folder that holds files: what would differ, found out without touching it."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

from peer.core.blobs import BLOB_LIMIT
from peer.core.notices import Notice, SyncDone
from peer.edge import registry
from peer.edge.entry import Entry, enter_by_link
from peer.edge.ignore import Ignores
from peer.edge.node import EMPTY_SECONDS, Node
from peer.edge.safe_paths import Root, read_file
from peer.edge.scan import walk
from peer.errors import Refused, ServerUnreachable, StorageError, WouldOverwrite

__all__ = ["PREVIEW_SECONDS", "check_empty"]

PREVIEW_SECONDS: Final = 10.0
"""For the session's files to arrive, so that a folder can be compared with them."""
LISTED: Final = 50
"""Files named; with more, the rest are counted."""


async def check_empty(
    link: str,
    folder: Path,
    *,
    server: str | None,
    name: str | None,
    lan: bool = False,
    at: Sequence[str] = (),
) -> None:
    """Make sure that joining into *folder* mixes with nothing that is there.

    A folder that is absent, empty, in this session already, or holds nothing but the session's own files is
    fine.

    Raises:
        WouldOverwrite: it holds something else; the error lists what differs.
        UsageError: the link cannot be used.
    """
    local = await asyncio.to_thread(_local_files, folder)
    if not local:
        return
    entry = enter_by_link(link, None, server=server, name=name, policy="relay", lan=lan, at=at)
    theirs = await _session_files(entry)
    differing = _differences(local, theirs)
    if differing:
        raise WouldOverwrite(f"{folder} has files of its own ({len(local)}); nothing was changed", differing)


def _local_files(folder: Path) -> dict[str, bytes]:
    """SHA-256 of every file in *folder* that would be shared, by path; none if it is ours already."""
    if not folder.exists() or registry.is_known(folder):
        return {}
    root = Root(folder)

    def rules(path: str) -> bytes | None:
        try:
            with root.parent(path) as (directory, name):
                return read_file(directory, name, BLOB_LIMIT).content
        except (OSError, StorageError, Refused):
            return None

    found = {}
    try:
        for directory, name, path in walk(root, "", Ignores(rules), _no, _ignore, _ignore):
            found[path] = _digest(directory, name)
    finally:
        root.close()
    return found


def _digest(directory: int, name: str) -> bytes:
    try:
        content = read_file(directory, name, BLOB_LIMIT).content
    except (OSError, StorageError, Refused):
        return b"unreadable"
    return b"too large" if content is None else sha256(content).digest()


def _no(_: str) -> bool:
    return False


def _ignore(*_: object) -> None:
    """What cannot be shared does not count."""


async def _session_files(entry: Entry) -> dict[str, bytes] | None:
    """SHA-256 of the session's files by path, or `None` if nobody showed them in time."""
    done = asyncio.Event()

    def tell(notice: Notice) -> None:
        if isinstance(notice, SyncDone) and node.texts.count():
            done.set()
        elif isinstance(notice, SyncDone):
            # a session without files, or somebody who is as new as we are
            asyncio.get_running_loop().call_later(EMPTY_SECONDS, done.set)

    node = Node(entry.plan, tell, done.set)
    try:
        await node.start(wait_for_server=True)
        await asyncio.wait_for(done.wait(), PREVIEW_SECONDS)
        return node.texts.contents()
    except (TimeoutError, ServerUnreachable):
        return None
    finally:
        await node.close()


def _differences(local: dict[str, bytes], theirs: dict[str, bytes] | None) -> list[str]:
    if theirs is None:
        return [f"{path}: perhaps only here (nobody of the session answered)" for path in sorted(local)]
    lines = []
    for path in sorted(local.keys() | theirs.keys()):
        if path not in theirs:
            lines.append(f"{path}: only here")
        elif path in local and local[path] != theirs[path]:
            lines.append(f"{path}: differs")
    if len(lines) > LISTED:
        lines[LISTED:] = [f"and {len(lines) - LISTED} more"]
    return lines
