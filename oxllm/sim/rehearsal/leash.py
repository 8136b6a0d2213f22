"""`python -m oxllm.sim.rehearsal.leash DIRECTORY COMMAND...`: runs a command that never outlives its starter.

It runs the command until that ends, or until standard input does: a pipe whose other end the rehearsal holds, and which
the kernel closes even if the rehearsal is killed. Then it stops the command and removes the directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading

STOP_S = 10.0
"""From SIGTERM to SIGKILL."""


def run(directory: str, command: list[str]) -> int:
    """Run the command; returns its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603 - our own interpreter
    threading.Thread(target=_hold, args=(child,), daemon=True).start()
    try:
        return child.wait()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _hold(child: subprocess.Popen[bytes]) -> None:
    """Wait for the end of standard input, then stop the command."""
    while os.read(0, 4096):
        pass
    child.terminate()
    try:
        child.wait(STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(run(sys.argv[1], sys.argv[2:]))
