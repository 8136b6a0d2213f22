"""The step from this process to the serving one: same process number, same environment, nothing else kept.

The Plan holds keys, so it travels in an anonymous file and never in argv or the environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import NoReturn

from oxllm import launch
from oxllm import plan as plans
from oxllm.cli.precompile import precompile


def hold_back(*signals: signal.Signals) -> None:
    """Keep these for the gateway, which lets them in. A SIGHUP would end the process, and the file may be read by then;
    the others would find Python starting, which shows a traceback."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)


def become_gateway(plan: plans.Plan, log_format: str) -> NoReturn:
    """Replace this process by the gateway that serves `plan`."""
    precompile()
    fd = launch.plan_fd(plan)
    hold_back(signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    os.environ.update(launch.environment(dict(os.environ)))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a full disk is no reason not to serve
            stream.flush()
    os.execve(sys.executable, launch.command(fd, log_format), os.environ)  # noqa: S606 - a shell is what it does without
