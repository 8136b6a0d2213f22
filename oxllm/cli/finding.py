"""The result of one check of `oxllm doctor`."""

from __future__ import annotations

import msgspec

OK, WARN, FAIL = "ok", "warning", "failed"


class Finding(msgspec.Struct, frozen=True):
    """The result of one check."""

    what: str
    state: str
    found: str
    fix: str = ""
    """What to do about it."""
