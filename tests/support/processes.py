"""Starts and stops the processes that a measurement needs: each is ready before use and gone at the end."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from oxllm.sim.serve import ports

free_port = ports.free_port

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0


class NotReady(RuntimeError):
    """A process did not come up. The message ends with what it wrote last."""


def raise_open_files() -> int:
    """Raises this process's soft limit of open files (children inherit it) to the hard limit, and returns it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this project in this Python."""
    return [sys.executable, "-m", name, *arguments]


class Running:
    """A child process. Leaving the block stops it: SIGTERM, then after 10 s SIGKILL.

    Its output goes to a file, so that a full pipe can never slow what is measured.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path,
        env: Mapping[str, str] | None = None,
        cpus: Iterable[int] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.command = list(command)
        self.output = output
        chosen = set(cpus) if cpus is not None else None
        with output.open("wb") as sink:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                pass_fds=pass_fds,
                preexec_fn=None if chosen is None else lambda: os.sched_setaffinity(0, chosen),  # noqa: PLW1509
            )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def tail(self) -> str:
        """The last 2,000 characters of what it wrote."""
        return self.output.read_text(encoding="utf-8", errors="replace")[-2000:]

    def wait_until(self, ready: Callable[[], bool], within_s: float = READY_WITHIN_S) -> Self:
        """Returns once `ready()`. Raises NotReady (and stops the process) if it exits first or takes too long."""
        start = time.monotonic()
        while self.alive and time.monotonic() - start < within_s:
            if ready():
                return self
            time.sleep(0.05)
        self.stop()
        raise NotReady(f"{self.command[0]} was not ready after {time.monotonic() - start:.1f} s:\n{self.tail()}")

    def wait(self, within_s: float = STOP_WITHIN_S) -> int:
        """The exit status, once it has ended by itself. Raises TimeoutExpired."""
        return self._process.wait(within_s)

    def kill(self) -> int:
        """Ends the process at once (SIGKILL), and returns its exit status."""
        self._process.kill()
        return self._process.wait()

    def stop(self) -> int:
        """Ends the process and returns its exit status. May be called again."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait(STOP_WITHIN_S)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


def answers(port: int, path: str, status: int = 200) -> bool:
    """Whether `GET path` on the loopback port gives this status."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode("ascii")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(request)
            return connection.recv(64).split(b" ", 2)[1:2] == [str(status).encode("ascii")]
    except OSError:
        return False
