"""Where log lines go: a file descriptor that must not make the gateway wait, whatever it is.

A pipe or terminal that can be reopened, and a socket, is written without blocking: what does not fit now waits. It is
reopened because O_NONBLOCK belongs to the open file description, which a shell or a terminal shares with us. What
cannot be reopened (another user's pipe or terminal, after `sudo -u`; on macOS, where that gives the same description),
and a regular file, whose write blocks as long as its disk or server does, is written by a thread, one piece at a time:
meanwhile nothing more is taken.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import stat
import sys
from _queue import SimpleQueue
from typing import Protocol

PIECE_BYTES = 64 * 1024
"""Bytes that the thread gets at once."""


class Sink(Protocol):
    """Takes bytes without waiting."""

    @property
    def lost(self) -> int:
        """Lines so far that it took but could not write: nobody reads any more, or the disk is full."""

    def write(self, data: bytes) -> int:
        """Returns how many bytes it took; 0 if it is busy."""

    def close(self, patience: float) -> None:
        """Wait up to `patience` seconds until what was taken is written."""


class NonBlocking:
    """A non-blocking descriptor of our own."""

    __slots__ = ("_fd", "lost")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.lost = 0

    def write(self, data: bytes) -> int:
        """As `Sink.write`."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            self.lost += data.count(b"\n")
            return len(data)

    def close(self, patience: float) -> None:
        """Nothing to wait for."""


class Threaded:
    """A descriptor that may block: a separate thread writes to it."""

    __slots__ = ("_fd", "_idle", "_pieces", "lost")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pieces: SimpleQueue[bytes] | None = None
        self._idle = _thread.allocate_lock()
        """Held while a piece is being written."""
        self.lost = 0

    def write(self, data: bytes) -> int:
        """As `Sink.write`."""
        if not self._idle.acquire(blocking=False):
            return 0
        if self._pieces is None:
            pieces: SimpleQueue[bytes] = SimpleQueue()
            try:
                _thread.start_new_thread(self._run, (pieces,))
            except RuntimeError:  # no thread can be started now: the limit on processes is reached
                self._idle.release()
                return 0
            self._pieces = pieces
        end = data.rfind(b"\n", 0, PIECE_BYTES) + 1 or PIECE_BYTES
        self._pieces.put(data[:end])
        return min(end, len(data))

    def close(self, patience: float) -> None:
        """Wait for the thread. The process may end before it is done."""
        if self._idle.acquire(timeout=patience):
            self._idle.release()

    def _run(self, pieces: SimpleQueue[bytes]) -> None:
        while True:
            data = pieces.get()
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except OSError:
                self.lost += data.count(b"\n")
            self._idle.release()


def sink_of(fd: int) -> Sink:
    """The sink for lines to `fd`, which others may share."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return Threaded(fd)
    if stat.S_ISSOCK(mode):  # cannot be reopened, but a service manager makes one for us alone
        os.set_blocking(fd, False)
        return NonBlocking(fd)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            return NonBlocking(os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND | os.O_NOCTTY))
    return Threaded(fd)
