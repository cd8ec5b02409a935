"""The shared folder on disk: carries out the core's file actions and tells it what is there.

All of it happens in one thread of its own, in the order it was asked for, so the loop never waits
for a disk; events come back on the loop.  What is decided here is only what is safe to do with a
file; what to do is the core's affair.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final

from peer.core.actions import FileAction, MoveFile, ReadFile, RemoveFile, ReplaceFile
from peer.core.blobs import BLOB_LIMIT
from peer.core.events import FileEvent, FileTrouble, ReplaceRefused
from peer.edge.changes import Changes
from peer.edge.displaced import Displaced
from peer.edge.exchange import Renames, best_renames
from peer.edge.known import Known
from peer.edge.looking import Lookout
from peer.edge.outlet import Outlet
from peer.edge.safe_paths import Root, sentence
from peer.edge.scratch import Scratch
from peer.edge.trash import Trash
from peer.errors import Refused, StorageError, UsageError

__all__ = ["QUEUE_BYTES_LIMIT", "QUEUE_LIMIT", "Folder"]

QUEUE_LIMIT: Final = 65_536
"""Jobs that wait: three for each file of the largest folder that is shared."""

QUEUE_BYTES_LIMIT: Final = 256 * 1024 * 1024
"""Content that waits to be written: sixteen of the largest files."""

_Job = Callable[[], None]


class Folder:
    """One shared folder, open until `close`; made on the thread of the running loop.

    Args:
        path: the folder, which must exist.
        emit: called on the loop for each event, in the order in which things happened.
        renames: how files change places; by default the best way there is.
        limit: bytes above which a file is reported without content.

    Raises:
        StorageError: the folder cannot be opened, or `.weft` cannot be made in it.
    """

    def __init__(
        self,
        path: Path,
        emit: Callable[[FileEvent], None],
        *,
        renames: Renames | None = None,
        limit: int = BLOB_LIMIT,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._emit = emit
        self._root = Root(path)
        self._scratch = Scratch(self._root)
        self._trash = Trash(self._root)
        self._known = Known()
        self._outlet = Outlet(self._loop, emit)
        put = self._outlet.put
        self._displaced = Displaced(self._root, self._scratch, self._trash, limit, time.monotonic, put)
        self._changes = Changes(
            self._root,
            self._scratch,
            self._trash,
            self._displaced,
            self._known,
            renames or best_renames(),
            limit,
        )
        self._lookout = Lookout(
            self._root, self._scratch, self._trash, self._known, self._changes, limit, put
        )
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._waiting_looks: set[str] = set()
        self._has_overrun = False
        self._is_closing = False
        self._jobs: queue.Queue[_Job] = queue.Queue(QUEUE_LIMIT)
        self._thread = threading.Thread(target=self._work, name="weft-folder", daemon=True)
        self._thread.start()

    @property
    def root(self) -> Root:
        """The folder, held open; closed by `close`."""
        return self._root

    # --- orders, from any thread ----------------------------------------------------------------------

    def submit(self, action: FileAction) -> None:
        """Carry out *action* after everything before it; the answer is the event its class names.

        When too much waits already, the answer is a `FileTrouble` at once.

        Raises:
            UsageError: the folder is closed.
        """
        if self._is_closing:
            raise UsageError("the folder is closed")
        size = len(action.content) if isinstance(action, ReplaceFile) else 0
        with self._lock:
            is_too_much = self._waiting_bytes + size > QUEUE_BYTES_LIMIT and self._waiting_bytes > 0
            self._waiting_bytes += 0 if is_too_much else size
        if is_too_much or not self._enqueue(partial(self._carry_out, action, size)):
            self.report(FileTrouble(_path_of(action), "the disk is too slow: too much waits to be written"))

    def scan(self, known: Iterable[str] = ()) -> None:
        """Report every shared file, then for each other path in *known* what there is, then the end.

        The first scan also clears up what a run that was killed left half done; if that holds
        something, it comes first, as `DisplacedChanged`.
        """
        self._enqueue(partial(self._lookout.scan, tuple(known)))

    def sweep(self) -> None:
        """Look at the whole folder and report what is not as it was reported last."""
        self._enqueue(self._lookout.sweep)

    def look(self, path: str) -> None:
        """Something happened at *path*, a file or directory: report it if it is news."""
        with self._lock:
            if path in self._waiting_looks:
                return
            self._waiting_looks.add(path)
        if not self._enqueue(partial(self._look, path)):
            with self._lock:
                self._waiting_looks.discard(path)
                self._has_overrun = True

    def look_displaced(self, name: str) -> None:
        """A writer closed the file *name* in `.weft/tmp`: report it if it is a displaced one, and news."""
        self._enqueue(partial(self._displaced.heard, name))

    def check_place(self) -> None:
        """Report when the folder is no longer where it was, and sweep when it is again."""
        self._enqueue(self._lookout.check_place)

    def is_of_interest(self, path: str, directory: bool = False) -> bool:
        """Whether a change at *path* could be news: it is not ignored, or the core knows it."""
        return path in self._known or not self._lookout.ignores.is_ignored(path, directory=directory)

    def report(self, event: FileEvent) -> None:
        """Hand an event of somebody else's to the core, on the loop."""
        self._loop.call_soon_threadsafe(self._emit, event)

    async def close(self) -> None:
        """Finish what waits and let go of the folder; the last events come before this returns."""
        if self._is_closing:
            return
        self._is_closing = True
        # A full queue is being worked off; the loop must go on meanwhile.
        await asyncio.to_thread(self._jobs.put, self._finish)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last events are on the loop already
        for part in (self._trash, self._scratch, self._root):
            part.close()

    def _enqueue(self, job: _Job) -> bool:
        if self._is_closing:
            return False
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    # --- the worker -----------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            job = self._next_job()
            if job is None:
                self._displaced.look()
            elif job == self._finish:
                self._finish()
                return
            else:
                self._run(job)
            if self._jobs.empty() and (self._has_overrun or self._lookout.needs_sweep):
                self._has_overrun = False
                self._run(self._lookout.sweep)
            self._outlet.flush()

    def _next_job(self) -> _Job | None:
        due = self._displaced.next_due()
        try:
            return self._jobs.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except queue.Empty:
            return None

    def _run(self, job: _Job) -> None:
        try:
            job()
        except Exception as error:  # the border of the thread: a bug must not silence the disk
            self._outlet.put(FileTrouble(".", f"a mistake in Weft, please report it: {error!r}"))

    def _finish(self) -> None:
        self._displaced.leave()
        self._outlet.flush()

    # --- actions --------------------------------------------------------------------------------------

    def _carry_out(self, action: FileAction, size: int) -> None:
        with self._lock:
            self._waiting_bytes -= size
        try:
            events = self._perform(action)
        except (StorageError, Refused) as error:
            self._outlet.put(FileTrouble(_path_of(action), str(error)))
        except OSError as error:
            self._outlet.put(FileTrouble(_path_of(action), sentence(error)))
        else:
            self._note_rules(action, any(isinstance(event, ReplaceRefused) for event in events))
            for event in events:
                self._outlet.put(event)

    def _note_rules(self, action: FileAction, is_refused: bool) -> None:
        match action:
            case ReplaceFile(path) | RemoveFile(path):
                self._lookout.note_change(path, by_peer=not is_refused)
            case MoveFile(old, new):
                for path in (old, new):
                    self._lookout.note_change(path, by_peer=not is_refused)
            case ReadFile():
                pass

    def _perform(self, action: FileAction) -> list[FileEvent]:
        match action:
            case ReplaceFile():
                return self._changes.replace(action)
            case RemoveFile():
                return self._changes.remove(action)
            case MoveFile():
                return self._changes.move(action)
            case ReadFile(path):
                return [self._lookout.read(path)]

    def _look(self, path: str) -> None:
        with self._lock:
            self._waiting_looks.discard(path)
        if self.is_of_interest(path):
            self._lookout.look(path)


def _path_of(action: FileAction) -> str:
    return action.old if isinstance(action, MoveFile) else action.path
