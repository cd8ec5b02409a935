"""The public API: share a folder or bare documents, join them elsewhere, watch what happens.

    async with peer.join(link) as session:
        notes = session.text("notes.md")
        notes.insert(0, "hello ")
        async for event in session.events():
            print(event)

Without a folder, a session is a set of texts by name, held in memory.  Everything here must be used in one
event loop and thread.

A session goes on without its server, and also when the server refuses it for good (a `Trouble` with code
`E-SERVER`): whoever is connected directly stays connected, and everything typed is kept for the others.  It
ends when it is left, or by a fault of Weft, which `Session.events` then raises.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TypedDict

from peer.core.events import KEEP, Keep, PingWanted, PresenceSet
from peer.core.notices import FileChanged, Notice, PeerPong, PresenceChanged, SyncDone
from peer.core.policy import POLICIES
from peer.core.session import PeerState
from peer.edge.activity import Activity
from peer.edge.entry import Entry, enter_again, enter_by_link, enter_new
from peer.edge.ice_servers import IceServer, IceServerLike
from peer.edge.listeners import Listeners
from peer.edge.node import Node
from peer.edge.preview import check_empty
from peer.edge.texts import Text
from peer.errors import Unreachable, UsageError

__all__ = ["POLICIES", "IceServer", "IceServerLike", "Session", "Text", "join", "share"]

PING_SECONDS: Final = 5.0
"""How long an answer may take; a path that needs longer is told as silent soon."""
PINGS_AT_ONCE: Final = 64
"""Questions that may be open; whoever asks waits for the answer before the next."""


class Session:
    """A running session, as applications see it.

    Attributes:
        link: the invitation to give to others; empty when this side may not invite.
        session_id: the session's name for its members, hexadecimal.
        folder: where it is shown on disk, or `None`.
        role: `owner`, `editor` or `viewer`.
        resumed: whether this side has been in it before.
    """

    def __init__(self, entry: Entry) -> None:
        self._listeners = Listeners()
        self._synced = asyncio.Event()
        self._has_synced = False
        self._started = time.monotonic()
        self._changed_files = 0
        self._activity = Activity()
        self._pings: dict[int, asyncio.Future[PeerPong]] = {}
        self._questions = 0
        self._is_up = False
        self._is_founder = entry.plan.record.owner_seed is not None
        self._undo = entry.undo
        self._node = Node(entry.plan, self._tell, self._over)
        self._texts = self._node.texts
        self.link = entry.link
        self.session_id = entry.plan.record.session.hex()
        self.folder = entry.plan.folder
        self.role = entry.plan.record.role
        self.resumed = entry.resumed

    async def start(self) -> None:
        """Begin; `share` and `join` have done this already.

        Raises:
            ServerUnreachable: the session is new here, and the server did not let us in.
            StorageError: the folder cannot be opened.
        """
        await self._node.start(wait_for_server=not self.resumed)
        self._is_up = True

    # --- documents ----------------------------------------------------------------------------------

    def text(self, name: str) -> Text:
        """The text of this name (in a folder session: the file at this path), made if there is none.

        Two sides that make the same name at once get one text, not two.

        Raises:
            UsageError: *name* cannot be a path inside a folder, or is a binary file; or there is none, and we
                may only read this session.
        """
        return self._texts.open(name)

    def texts(self) -> list[str]:
        """The names of all texts."""
        return self._texts.names()

    async def synced(self, timeout: float = 30.0) -> None:
        """Wait until everything that some other peer has is here too.

        Raises:
            TimeoutError: nobody was there, or they did not finish, within *timeout* seconds.
            UsageError: the session ended meanwhile.
        """
        await asyncio.wait_for(self._synced.wait(), timeout)
        if not self._has_synced:
            raise UsageError("the session ended before everything was here") from self._node.driver.failure

    # --- people -------------------------------------------------------------------------------------

    @property
    def peers(self) -> list[PeerState]:
        """Everyone who is connected now."""
        return self._node.session.peers()

    @property
    def presence(self) -> list[PresenceChanged]:
        """Where everyone else is now."""
        return self._node.session.presence()

    def set_presence(
        self,
        *,
        path: str | Keep | None = KEEP,
        cursor: tuple[int, int] | Keep | None = KEEP,
        typing: bool | None = None,
        idle: bool | None = None,
    ) -> None:
        """Tell others where we are; what is left out stays as it was.

        *path* `None` is no file at all.  *cursor* is anchor and head in code points; it ends with the file.

        Raises:
            UsageError: a cursor that cannot be in any text.
        """
        self._node.driver.feed(PresenceSet(path, cursor, typing, idle))

    async def events(self) -> AsyncIterator[Notice]:
        """Yield what happens (`peer.core.notices`), beginning with what happened since the start.

        Ends when the session does.  Each listener hears everything, at its own pace; if it is so slow that
        some had to be dropped, it is told how many by a `Warned` with code `W-EVENTS`.

        Raises:
            Exception: the fault of Weft that ended the session.
        """
        async for notice in self._listeners.listen():
            yield notice
        if self._node.driver.failure is not None:
            raise self._node.driver.failure

    def _tell(self, notice: Notice) -> None:
        match notice:
            case SyncDone():
                self._has_synced = True
                self._synced.set()
            case FileChanged():
                self._changed_files += 1
            case PeerPong():
                self._pong(notice)
            case _:
                pass
        self._activity.notice(notice, time.monotonic())
        self._listeners.tell(notice)

    async def ping(self, peer: str) -> PeerPong:
        """Measure the way to *peer*, given by its id, there and back on the sealed link.

        Raises:
            UsageError: nobody with this id is connected, or too many questions are open.
            Unreachable: no answer came within `PING_SECONDS`.
        """
        if all(each.id != peer for each in self.peers):
            raise UsageError("nobody with this id is connected")
        if len(self._pings) >= PINGS_AT_ONCE:
            raise UsageError(f"{PINGS_AT_ONCE} pings are under way already")
        self._questions += 1
        number, answer = self._questions, asyncio.get_running_loop().create_future()
        self._pings[number] = answer
        self._node.driver.feed(PingWanted(peer, number))
        try:
            return await asyncio.wait_for(answer, PING_SECONDS)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {PING_SECONDS:g} s") from error
        finally:
            del self._pings[number]

    def _pong(self, notice: PeerPong) -> None:
        answer = self._pings.get(notice.number)
        if answer is not None and not answer.done():
            answer.set_result(notice)

    def _over(self) -> None:
        self._synced.set()
        self._listeners.end()

    # --- state ----------------------------------------------------------------------------------------

    @property
    def files(self) -> int:
        """How many files or texts the session has."""
        return self._texts.count()

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of all texts."""
        return self._texts.size()

    def status(self) -> dict[str, object]:
        """Everything `weft status --json` shows, ready for JSON."""
        return {
            "session": self.session_id,
            "folder": None if self.folder is None else str(self.folder),
            "role": self.role,
            "server": {"url": self._node.server, "state": self._node.server_state},
            "lan": None if self._node.lan is None else self._node.lan.status(),
            "files": self.files,
            "peers": self._activity.rows(self.peers, time.monotonic()),
            "events": dict(self._activity.counts),
            "uptime_s": round(time.monotonic() - self._started, 1),
        }

    def summary(self) -> dict[str, object]:
        """What the session came to, ready for JSON."""
        return {
            "files": self.files,
            "text_bytes": self.text_bytes,
            "changed_files": self._changed_files,
            "peers": len(self.peers),
            "uptime_s": round(time.monotonic() - self._started, 1),
        }

    async def leave(self) -> None:
        """Say goodbye and stop; leaving twice is leaving once.

        A session that is new here, and of which nothing came, leaves nothing behind on the disk.
        """
        await self._node.close()
        if self._came_to_nothing():
            undo, self._undo = self._undo, lambda: None
            await asyncio.to_thread(undo)

    def _came_to_nothing(self) -> bool:
        if self._is_founder:
            return not self._is_up  # else somebody may have its link
        came = any(not each.is_empty() or each.has_pending() for each in self._node.documents)
        return not (came or self._has_synced)


# --- the two verbs ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def share(
    path: Path | str | None = None,
    *,
    server: str | None = None,
    name: str | None = None,
    path_policy: str = "auto",
    lan: bool | None = None,
    at: Sequence[str] = (),
    ice_servers: Sequence[IceServerLike] = (),
) -> AsyncIterator[Session]:
    """Share the folder at *path* (or texts in memory), or go on sharing it.

    Args:
        path: an existing folder; `None` for a session without one.
        server: where others find us on the internet; a folder that was shared before remembers its server.
        name: what others see; by default this machine's user name.
        path_policy: which paths may carry contents; one of `POLICIES`, see the table in `policy.py`.
        lan: look for others, and be found, on local networks; by default unless `WEFT_NO_LAN` is set.
        at: where on the network members are, as `HOST:PORT`.
        ice_servers: STUN and TURN servers of one's own (`IceServer`), asked before those of the server.

    Raises:
        UsageError: *path* is no folder, or no server is known and *lan* is false.
        ServerUnreachable: the session is new, and the server did not let us in.
        StorageError: the disk refuses.
    """
    folder = None if path is None else Path(path)
    ways = _Ways(policy=_checked(path_policy), lan=_wants_lan(lan), at=at)
    entry = enter_new(folder, server=server, name=name, **ways)
    async with _running(entry, ice_servers) as session:
        yield session


@contextlib.asynccontextmanager
async def join(
    link_or_path: str | Path,
    folder: Path | str | None = None,
    *,
    server: str | None = None,
    name: str | None = None,
    path_policy: str = "auto",
    lan: bool | None = None,
    at: Sequence[str] = (),
    ice_servers: Sequence[IceServerLike] = (),
) -> AsyncIterator[Session]:
    """Join by invitation, or go on with the session of a folder.

    Args:
        link_or_path: a `weft:` link, or a folder that was in a session before (a `Path`).
        folder: where the session is shown on disk, made if it is not there; `None`: nowhere.
        server, name, path_policy, lan, at, ice_servers: as for `share`.

    Raises:
        UsageError: the link cannot be used, or the folder belongs to another session.
        WouldOverwrite: the folder holds files that are not the session's; nothing was changed.
        ServerUnreachable: we were not in this session before, and the server did not let us in.
        StorageError: the disk refuses.
    """
    ways = _Ways(policy=_checked(path_policy), lan=_wants_lan(lan), at=at)
    if isinstance(link_or_path, Path):
        entry = enter_again(link_or_path, server=server, name=name, **ways)
    else:
        place = None if folder is None else Path(folder)
        if place is not None:
            await check_empty(link_or_path, place, server=server, name=name, lan=ways["lan"], at=ways["at"])
        entry = enter_by_link(link_or_path, place, server=server, name=name, **ways)
    async with _running(entry, ice_servers) as session:
        yield session


class _Ways(TypedDict):
    policy: str
    lan: bool
    at: Sequence[str]


def _wants_lan(lan: bool | None) -> bool:
    return not os.environ.get("WEFT_NO_LAN") if lan is None else lan


def _checked(policy: str) -> str:
    if policy not in POLICIES:
        raise UsageError(f"a path is one of {', '.join(POLICIES)}, not {policy!r}")
    return policy


@contextlib.asynccontextmanager
async def _running(entry: Entry, ice_servers: Sequence[IceServerLike]) -> AsyncIterator[Session]:
    session = Session(replace(entry, plan=replace(entry.plan, ice_servers=tuple(ice_servers))))
    try:
        await session.start()
        yield session
    finally:
        await session.leave()
