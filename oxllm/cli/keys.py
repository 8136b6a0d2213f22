"""Reads keys from a terminal, one at a time and without echo. Without a terminal it only waits."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from types import TracebackType
from typing import Any, Self

UP, DOWN, ENTER, ESCAPE = "up", "down", "enter", "escape"
_NAMES = {
    "\x1b[A": UP,
    "\x1bOA": UP,
    "\x1b[B": DOWN,
    "\x1bOB": DOWN,
    "\r": ENTER,
    "\n": ENTER,
    "\x1b": ESCAPE,
}
"""Sequence sent by a terminal (xterm, ctlseqs) -> key."""
SEQUENCE_MAX = 8
"""Most bytes in a key's sequence."""
SEQUENCE_S = 0.05
"""How long to wait for the rest of a sequence that begins with ESC."""


def _is_whole(text: str) -> bool:
    """Is this a complete key? A sequence ends with a letter or ~ (ECMA-48 section 5.4)."""
    if text[0] != "\x1b" or len(text) >= SEQUENCE_MAX:
        return True
    if len(text) == 1:
        return False
    return len(text) == 3 if text[1] == "O" else text[1] != "[" or (len(text) > 2 and "@" <= text[-1] <= "~")


class Keys:
    """Reads stdin key by key inside a `with`, without echo."""

    def __init__(self, live: bool) -> None:
        self._live = live and sys.stdin.isatty()
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if self._live:
            import termios
            import tty

            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSADRAIN)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._before is not None:
            import termios

            with contextlib.suppress(OSError, termios.error):  # the terminal may have gone
                termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, self._before)

    @property
    def live(self) -> bool:
        """Can a key be pressed?"""
        return self._live

    def wait(self, seconds: float) -> str:
        """The next key; "" if none is pressed within `seconds`."""
        if not self._live:
            time.sleep(seconds)
            return ""
        if not select.select([sys.stdin], [], [], seconds)[0]:
            return ""
        return self._read()

    def _read(self) -> str:
        text = os.read(sys.stdin.fileno(), 1).decode("latin-1")
        if not text:  # the terminal has gone
            raise KeyboardInterrupt
        while not _is_whole(text):
            if not select.select([sys.stdin], [], [], SEQUENCE_S)[0]:
                break
            text += os.read(sys.stdin.fileno(), 1).decode("latin-1")
        return _NAMES.get(text, text if len(text) == 1 else "")
