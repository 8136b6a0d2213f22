"""Signals that come before there is something to drain: they end the process at once, and show no traceback.

Process 1, as which a container's command runs, gets no signal that it has no handler for (pid_namespaces(7)). Without
one a container that is told to stop in its first second would go on, and be killed when the time for that is over.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """From now on Ctrl-C ends this process, and so does SIGTERM, also if it is process 1."""
    if os.getpid() == 1:
        signal.signal(signal.SIGINT, _end)
        signal.signal(signal.SIGTERM, _end)
    else:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # as a shell says that a signal has ended somebody
