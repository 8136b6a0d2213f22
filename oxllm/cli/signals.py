"""Sends signals to a gateway process, and waits for its end.

A signal is sent only to a process that a locked run file or `--pid` names, whose start time is that of the run file,
and whose command line is oxllm's; never to a pid reported by whatever listens on a port.
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
    """The gateway to use. With `--pid` it need not have a run file; then its URL is unknown."""
    if pid is None:
        return find(url, port)
    return by_pid(pid) or Gateway("")


class Process:
    """A gateway's process, held (by pidfd on Linux) so that its pid cannot be reused between check and signal.

    Raises NotRunning if there is none, or its pid now belongs to another process.
    """

    def __init__(self, pid: int, start_time: int = 0) -> None:
        """`start_time`: from the run file; 0 if unknown."""
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
        """Release it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def send(self, number: signal.Signals) -> None:
        """Send a signal. Raises NotRunning if the process has ended, Failure if it is another user's."""
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
        """Wait up to `within_s` for its end. With a pidfd a zombie counts as ended."""
        if self._fd >= 0:
            return bool(select.select([self._fd], [], [], within_s)[0])
        return _poll_for_end(self.pid, within_s)


def process_of(gateway: Gateway, pid: int | None = None) -> Process:
    """The process of a gateway with a run file, else of `pid`. Raises Failure if neither is known."""
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
    except (ProcessLookupError, OverflowError):  # no such process, or an impossible pid
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
    """Judges by the command line, from /proc or else from ps."""
    found = runfile.is_gateway(pid)
    return _ps_says_so(pid) if found is None else found


def _ps_says_so(pid: int) -> bool:
    try:
        command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, timeout=5, check=False)  # noqa: S603 - a number
    except (OSError, subprocess.SubprocessError):
        return False
    return b" -m oxllm.gateway " in done.stdout
