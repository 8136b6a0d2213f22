"""`python -m oxllm`, and the `oxllm` command."""

from __future__ import annotations

import os
import signal
import sys

from oxllm.early import end_at_once, hold_back

end_at_once()  # even while modules load
if "serve" in sys.argv[1:]:
    hold_back(signal.SIGHUP)  # which asks for a reload: done as soon as it serves

from oxllm.cli import main as commands  # noqa: E402


def main() -> None:
    """Run the command line."""
    open_streams()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()


def open_streams() -> None:
    """Open /dev/null in place of a closed stdin, stdout or stderr, also for the process that `serve` becomes.

    Otherwise the next file or socket that is opened would get its number, and output meant for a terminal would go
    there.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            assert opened == fd, "the lowest number that is free"
            os.set_inheritable(fd, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - until the process ends
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
