"""Starts demos one at a time, since each looks for a free port and takes it only a moment later."""

from __future__ import annotations

import contextlib
import fcntl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.processes import Running
from tests.support.user import ready

LOCK = Path(tempfile.gettempdir(), "oxllm-demo-starts.lock")
"""Held while one starts: other workers of this test run start some, too."""


@contextlib.contextmanager
def demonstrating(command: Sequence[str], output: Path, env: Mapping[str, str]) -> Iterator[Running]:
    """`oxllm serve --demo`, once it is ready."""
    with contextlib.ExitStack() as stack:
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = stack.enter_context(Running(command, output=output, env=env))
            process.wait_until(lambda: ready(process))
        yield process
