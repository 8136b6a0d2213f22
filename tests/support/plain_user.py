"""A user whom permissions stop. Tests may run as root, whom they do not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

NOBODY = 65534


@contextlib.contextmanager
def plain_user() -> Iterator[None]:
    """While this lasts the process is no root; it stays who it is if it was none. What it needs it has imported."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
