"""Signals to a gateway process, and waiting for its end."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from oxllm.cli.find import Gateway, by_pid, find
from oxllm.cli.options import Failure, NotRunning

POLL_S = 0.05


def choose(url: str | None, port: int | None, pid: int | None) -> Gateway:
    """The gateway that is meant; with `--pid` one without a run file will do, at no known URL."""
    if pid is None:
        return find(url, port)
    if gateway := by_pid(pid):
        return gateway
    if not _is_gateway(pid):
        raise NotRunning(f"process {pid} is not a running oxllm gateway")
    return Gateway("", None, pid)


def send(pid: int, number: int) -> None:
    """Send a signal. NotRunning when there is no such process, Failure when it is another user's."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        raise NotRunning(f"not running: there is no process {pid}") from None
    except PermissionError:
        raise Failure(f"process {pid} belongs to another user") from None


def wait_for_end(pid: int, seconds: float) -> bool:
    """Has the process ended within `seconds`? One that only waits for its parent to notice has."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except (AttributeError, OSError):  # not Linux, or an old kernel
        return _poll_for_end(pid, seconds)
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def _poll_for_end(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(POLL_S)
    return False


def _is_gateway(pid: int) -> bool:
    """By its command line; where there is no /proc, a living process is taken at its word."""
    try:
        return b"oxllm.gateway" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        if os.path.isdir("/proc/self"):
            return False
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
