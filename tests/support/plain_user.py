"""A user whom permissions stop: tests may run as root, whom they do not stop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NOBODY = 65534


@contextlib.contextmanager
def plain_user() -> Iterator[int]:
    """Within the block the process is not root (no change if it was not before), but the user whose number it gets.
    Import first what the block needs."""
    if os.geteuid() != 0:
        yield os.geteuid()
        return
    os.seteuid(NOBODY)
    try:
        yield NOBODY
    finally:
        os.seteuid(0)
