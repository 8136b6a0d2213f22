"""Signals to `oxllm serve` before it serves: it is caught on its way, sent one, and let go on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.gateway import CLEAN, serve_command
from tests.support.processes import Running
from tests.support.user import config, eventually, ready

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks into /proc")

CONTAINER = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
"""A command in front of another, which is process 1 then, as in a container."""
STARTS = 30
"""How often it is started, until it is caught: a busy machine may look too late."""


def proc(pid: int, name: str) -> bytes:
    """A file of a process in /proc; nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def has(pid: int, mask: str, number: signal.Signals) -> bool:
    """Is the signal in a mask of the process: SigCgt (it has a handler), SigBlk (it is held back)?"""
    lines = [line.split() for line in proc(pid, "status").decode().splitlines()]
    return any(int(line[1], 16) >> (number - 1) & 1 for line in lines if line[0] == f"{mask}:")


def is_gateway(pid: int) -> bool:
    return b"oxllm.gateway" in proc(pid, "cmdline")


def handles(pid: int) -> bool:
    """The command line of a process 1 that SIGTERM ends."""
    return b"oxllm" in proc(pid, "cmdline") and not is_gateway(pid) and has(pid, "SigCgt", signal.SIGTERM)


def takes_over(pid: int) -> bool:
    """It is Python that starts again."""
    return is_gateway(pid) and not has(pid, "SigCgt", signal.SIGINT)


def waits(pid: int) -> bool:
    """A command line that keeps reloads for later, and not all signals, as libc does for a moment, and has loaded next
    to nothing yet."""
    held = has(pid, "SigBlk", signal.SIGHUP) and not has(pid, "SigBlk", signal.SIGTERM)
    return held and not is_gateway(pid) and b"msgspec" not in proc(pid, "maps")


@contextlib.contextmanager
def caught(directory: Path, at: Callable[[int], bool], *front: str) -> Iterator[tuple[Running, int]]:
    """A process that stands still where `at` holds, and its number; with `front` it is process 1."""
    file = directory / "config.toml"
    file.write_text(config({"alpha": "http://127.0.0.1:9/v1"}, {"smart": ["alpha"]}), encoding="utf-8")
    env = {**CLEAN, "XDG_RUNTIME_DIR": str(directory)}
    for _ in range(STARTS):
        with Running([*front, *serve_command(file)], output=directory / "log", env=env) as started:
            pid = started.pid
            while not ready(started) and started.alive:
                pid = int((proc(started.pid, f"task/{started.pid}/children").split() or [b"0"])[0]) if front else pid
                if pid and at(pid):
                    os.kill(pid, signal.SIGSTOP)
                    if at(pid) and not ready(started):
                        yield started, pid
                        return
                    os.kill(pid, signal.SIGCONT)
                time.sleep(0.001)
            started.kill()
    raise AssertionError("it was never caught")


@pytest.mark.parametrize("at", [handles, takes_over])
def test_a_container_that_is_stopped_before_it_serves_ends(tmp_path: Path, at: Callable[[int], bool]) -> None:
    """The kernel drops what process 1 has no handler for: it would go on, and be killed when the time is over."""
    if subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    with caught(tmp_path, at, *CONTAINER) as (started, pid):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        assert started.wait(60) == 128 + signal.SIGTERM
        assert not ready(started)


def test_a_reload_that_is_asked_for_before_it_serves_is_done_when_it_does(tmp_path: Path) -> None:
    with caught(tmp_path, waits) as (started, pid):
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: "reload: nothing changed" in started.tail(), within_s=60), started.tail()
