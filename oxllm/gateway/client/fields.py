"""The header fields of one request, and look-ups in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oxllm.core.request.headers import along


class Fields:
    """Names in lower case, values stripped of white space. All requests with the same known head share one."""

    __slots__ = ("all", "along", "first")

    def __init__(self, fields: Sequence[tuple[bytes, bytes]]) -> None:
        self.all = fields
        """In order."""
        self.first: dict[bytes, bytes] = dict(reversed(fields))
        """The first value of each, by its name."""
        self.along = along(fields)
        """Those that are also sent to the provider; most clients send none."""


NO_FIELDS: Final = Fields(())
"""Shared by all requests that no longer need theirs."""
