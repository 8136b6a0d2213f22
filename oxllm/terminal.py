"""Whether there is a terminal to draw on."""

from __future__ import annotations

import os
import sys


def is_terminal() -> bool:
    """Whether stdout is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
