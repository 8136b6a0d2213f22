"""`python -m oxllm`, and the `oxllm` command."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load ends the process, and shows no traceback

from oxllm.cli import main as commands  # noqa: E402


def main() -> None:
    """Run the command line."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()


if __name__ == "__main__":
    main()
