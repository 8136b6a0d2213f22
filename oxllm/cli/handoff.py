"""Turns this process into the serving one by exec: the process id and the environment stay, nothing else.

The Plan holds keys, so it is passed in an anonymous file, never in argv or the environment.
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
from oxllm.early import hold_back


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
