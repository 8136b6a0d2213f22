"""Signals that come before there is anything to drain end the process at once, without a traceback.

Process 1, such as a container's command, gets only signals that it has a handler for (pid_namespaces(7)). Without one,
a container that is told to stop in its first second would run on until it is killed.
"""

from __future__ import annotations

import os
import signal
from types import FrameType


def end_at_once() -> None:
    """From now on Ctrl-C and SIGTERM end this process, even if it is process 1."""
    if os.getpid() == 1:
        signal.signal(signal.SIGINT, _end)
        signal.signal(signal.SIGTERM, _end)
    else:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def hold_back(*signals: signal.Signals) -> None:
    """Block these signals until the gateway unblocks them. A SIGHUP would end the process, and must not be lost, since
    the config may already have been read; the others would interrupt Python's start with a traceback."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def _end(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # a shell's exit code for a process that a signal has ended
