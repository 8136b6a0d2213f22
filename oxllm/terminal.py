"""Whether there is a terminal to draw on, or anybody to print for."""

from __future__ import annotations

import os
import select
import sys


def is_terminal() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def reader_gone() -> bool:
    """Whether stdout is a pipe that nobody reads any more, as after `… | head -1`: poll(2) says so without a write."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    try:
        poll.register(sys.stdout, 0)
    except ValueError:  # not a file
        return False
    return bool(poll.poll(0))
