"""Redraws pages on a terminal, and colours text.

Without a terminal (a pipe, TERM=dumb) there are no escape codes and no shortened lines, unless colours are forced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

import click

from oxllm.grid import BAD, CHOSEN, GOOD, HEAD, OFF, WAIT
from oxllm.terminal import is_terminal

ENTER = "\x1b[?1049h\x1b[?7l\x1b[?25l"
"""Alternate screen, so that the previous content comes back afterwards; no wrapping, no cursor (xterm, ctlseqs)."""
LEAVE = "\x1b[?25h\x1b[?7h\x1b[?1049l"
HOME, CLEAR_LINE, CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"
_STYLES: dict[str, dict[str, Any]] = {HEAD: {"bold": True}, CHOSEN: {"reverse": True}}
_COLOURS = {GOOD: "green", WAIT: "yellow", BAD: "red", OFF: "cyan"}


def columns() -> int | None:
    """The terminal's width; None = unlimited."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def lines() -> int | None:
    """The terminal's height; None = unlimited."""
    return shutil.get_terminal_size().lines if is_terminal() else None


def paint(text: str, mood: str) -> str:
    """Colour text by its mood, if colours are wanted: on a terminal, or as the command line says."""
    context = click.get_current_context(silent=True)
    wanted = context.color if context is not None else None
    if not (is_terminal() if wanted is None else wanted):
        return text
    return click.style(text, **_STYLES[mood]) if mood in _STYLES else click.style(text, fg=_COLOURS[mood])


def show(text: str) -> None:
    """Print, escaping characters that the terminal's encoding lacks."""
    encoding = sys.stdout.encoding or "ascii"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), nl=False, color=True)


class Screen:
    """Pages, each drawn over the previous one. At the end the last one stays on the terminal."""

    def __init__(self) -> None:
        self._live = is_terminal()
        self._last = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if self._live:
            handlers = {signal.SIGTERM: _leave, signal.SIGTSTP: self._suspend}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
            with _undisturbed():
                show(ENTER)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            with _undisturbed():
                show(LEAVE + self._last)
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def draw(self, page: str) -> None:
        """Show a page of whole lines. It is drawn over the previous one in a single write, so that nothing flickers."""
        first, self._last = not self._last, page  # before it is shown, since a Ctrl-Z right after redraws it
        if not self._live:
            show(page if first else f"\n{page}")
        else:
            with _undisturbed():
                show(_drawn(page))

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back until `fg`."""
        show(LEAVE)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)
        show(ENTER + _drawn(self._last))


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Delay Ctrl-Z: its handler writes too, and a reentrant write is an error."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _drawn(page: str) -> str:
    """The codes to draw a page over the previous one and clear the rest.

    Each line is cleared before it is written, not after: after a line of full width the cursor is on its last
    character.
    """
    shown = _that_fit(page.splitlines(), shutil.get_terminal_size().lines)
    *upper, last = shown or [""]
    return HOME + "".join(f"{CLEAR_LINE}{line}\r\n" for line in upper) + CLEAR_REST + last


def _that_fit(page: list[str], height: int) -> list[str]:
    """The lines that fit, with the number of those left out."""
    if len(page) <= height:
        return page
    return [*page[: height - 1], f"... {len(page) - height + 1} more lines"]


def _leave(number: int, frame: FrameType | None) -> None:
    """End the command on a signal through `__exit__`, which restores the terminal."""
    raise SystemExit(128 + number)
