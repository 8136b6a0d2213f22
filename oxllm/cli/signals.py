"""Signals to a gateway process, and waiting for its end.

A signal goes only to a process that a locked run file or `--pid` names, that began when that run file says, and that
is an oxllm by its command line: never to a number that somebody on a port has told.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from types import TracebackType
from typing import Self

from oxllm import runfile
from oxllm.cli.find import Gateway, by_pid, find
from oxllm.cli.options import Failure, NotRunning

POLL_S = 0.05


def choose(url: str | None, port: int | None, pid: int | None) -> Gateway:
    """The gateway that is meant; with `--pid` one without a run file will do, at no known URL."""
    if pid is None:
        return find(url, port)
    return by_pid(pid) or Gateway("")


class Process:
    """A gateway's process, held so that its number cannot become another's between the look and the signal.

    Raises NotRunning when there is none, or another process has its number by now.
    """

    def __init__(self, pid: int, start_time: int = 0) -> None:
        """`start_time`: as the run file has it; 0 where nothing is known of it."""
        self.pid = pid
        self._fd = _pidfd(pid)
        began = runfile.start_time(pid)
        if (start_time and began != start_time) or not _is_gateway(pid):
            self.close()
            raise NotRunning(f"not running: process {pid} is not an oxllm gateway")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def send(self, number: signal.Signals) -> None:
        """Send a signal. NotRunning when it has ended, Failure when it is another user's."""
        try:
            if self._fd >= 0:
                signal.pidfd_send_signal(self._fd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            raise NotRunning(f"not running: there is no process {self.pid}") from None
        except PermissionError:
            raise Failure(f"process {self.pid} belongs to another user; try with sudo") from None

    def has_ended(self, within_s: float) -> bool:
        """Wait for its end. One that only waits for its parent to notice has ended."""
        if self._fd >= 0:
            return bool(select.select([self._fd], [], [], within_s)[0])
        return _poll_for_end(self.pid, within_s)


def process_of(gateway: Gateway, pid: int | None = None) -> Process:
    """The process of a gateway that has a run file, or the one that was named. Failure if none is known."""
    if gateway.run is not None:
        return Process(gateway.run.pid, gateway.run.start_time)
    if pid is not None:
        return Process(pid)
    from oxllm.cli.client import greet

    greet(gateway)
    raise Failure(
        f"an oxllm answers at {gateway.url}, but no run file of yours says which process it is: name it with "
        "--pid, or run this as the user that it runs as"
    )


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (ProcessLookupError, OverflowError):  # a number that no process can have
        raise NotRunning(f"not running: there is no process {pid}") from None
    except (AttributeError, OSError):  # not Linux, or an old kernel
        return -1


def _poll_for_end(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)


def _is_gateway(pid: int) -> bool:
    """By its command line, from /proc or else from ps."""
    found = runfile.is_gateway(pid)
    return _ps_says_so(pid) if found is None else found


def _ps_says_so(pid: int) -> bool:
    try:
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)  # noqa: S603 - a number
    except (OSError, subprocess.SubprocessError):
        return False
    return b" -m oxllm.gateway " in done.stdout
