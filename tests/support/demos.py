"""Demos that do not meet: each looks for a free port, and a moment later takes it."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.processes import Running
from tests.support.user import ready

LOCK = Path(tempfile.gettempdir(), "oxllm-demo-starts.lock")
"""Held by whoever starts one: other workers of this run do, too."""


@contextlib.contextmanager
def demonstrating(command: Sequence[str], output: Path, env: Mapping[str, str]) -> Iterator[Running]:
    """`oxllm serve --demo`, once it is ready."""
    with contextlib.ExitStack() as stack:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = stack.enter_context(Running(command, output=output, env=env))
            process.wait_until(lambda: ready(process))
        yield process
