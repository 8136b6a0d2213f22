"""One thing that `oxllm doctor` has looked at."""

from __future__ import annotations

import msgspec

OK, WARN, FAIL = "ok", "warning", "failed"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    what: str
    state: str
    found: str
    fix: str = ""
    """What to do about it."""
