"""A command on a terminal of its own: reads what it draws, and types keys."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

CTRL_C, CTRL_Z = b"\x03", b"\x1a"
WITHIN_S = 20.0


class OnTerminal:
    """A child process whose terminal we are. Leaving the block kills it if it still runs."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], columns: int = 80, lines: int = 24) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        surroundings = {**os.environ, "TERM": "xterm-256color", **env}
        for name in ("COLUMNS", "LINES"):
            surroundings.pop(name, None)
        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=surroundings,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - so that Ctrl-C is a signal
        )
        os.close(slave)
        self.seen = ""
        """All that it has written."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._master)

    @property
    def pid(self) -> int:
        return self._process.pid

    def until(self, text: str, times: int = 1) -> str:
        """Read until `text` has been written `times` times. Raises TimeoutError."""
        deadline = time.monotonic() + WITHIN_S
        while self.seen.count(text) < times:
            if not self._read(deadline - time.monotonic()):
                raise TimeoutError(f"{text!r} is not in {self.seen!r}")
        return self.seen

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end; returns the exit status. Raises TimeoutError."""
        deadline = time.monotonic() + WITHIN_S
        while self._read(deadline - time.monotonic()):
            pass
        try:
            return self._process.wait(1 + max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"it has not ended after {self.seen!r}") from None

    def _read(self, seconds: float) -> bool:
        """Read something; False at the end, and if nothing comes in time."""
        if not select.select([self._master], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self.seen += data.decode("utf-8", "replace")
        return bool(data)
