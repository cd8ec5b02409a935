"""A stream that is written from a thread of its own, so that a slow reader never stops the session.

A terminal that is halted with Ctrl-S, or a program that does not read our records, would otherwise
block the loop that answers heartbeats, and the others would think us gone.
"""

import contextlib
import os
import threading
from collections import deque
from typing import IO, Final, TextIO

__all__ = ["Outlet", "binary", "stream_is_terminal"]

PENDING_BYTES: Final = 8 * 1024 * 1024
"""What waits for a reader: some 50,000 records."""

DRAIN_SECONDS: Final = 2.0
"""How long `close` waits for a reader."""


class Outlet:
    """Bytes on their way to one stream, in order; never blocks, never grows without bound."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._skipped = 0
        self._broken = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="weft-output", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> bool:
        """Whether the reader has gone; what is written from then on is dropped."""
        return self._broken

    @property
    def waiting(self) -> int:
        """Bytes that nobody has read yet."""
        return self._size

    def write(self, data: bytes) -> bool:
        """Hand over *data*; false if it had to be skipped because the reader is too slow."""
        with self._changed:
            if self._size + len(data) > PENDING_BYTES:
                self._skipped += 1
                return False
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify()
            return True

    def take_skipped(self) -> int:
        """How many writes were skipped since the last call, once there is room again to say so."""
        with self._changed:
            if self._size > PENDING_BYTES // 2:
                return 0
            skipped, self._skipped = self._skipped, 0
            return skipped

    def close(self) -> None:
        """Wait a moment until everything is written; the stream itself stays open."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(DRAIN_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                batch = b"".join(self._waiting)
                self._waiting.clear()
            self._put(batch)
            with self._changed:
                self._size -= len(batch)

    def _put(self, data: bytes) -> None:
        if self._broken:
            return
        try:
            self._write_through(data)
        except (OSError, ValueError):
            self._broken = True
            # What Python still holds for this stream would fail once more when the program ends.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)

    def _write_through(self, data: bytes) -> None:
        # Past the stream's own buffer: a thread that is stuck in it would keep its lock, and Python
        # could not end.
        if self._descriptor is None:
            self._stream.write(data)
            return
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _descriptor(stream: IO[bytes]) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError):
        return None


def binary(stream: TextIO | None) -> IO[bytes]:
    """The bytes beneath a text stream; somewhere harmless if it was closed before we began."""
    return open(os.devnull, "wb") if stream is None else stream.buffer


def stream_is_terminal(stream: IO[bytes]) -> bool:
    """Whether a person is likely to read *stream*."""
    try:
        return os.isatty(stream.fileno())
    except (OSError, ValueError):
        return False
