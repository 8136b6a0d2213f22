"""What has been found out about bytes that come again and again, as the names in providers' heads do. Interpreted: a
class of mypyc could not inherit from `dict`, and what is known is found without a line of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

KEYS_MAX: Final = 512
"""Kept at once; a provider and its CDN send some 40 names."""
KEY_MAX: Final = 64
"""Bytes of one that is kept."""


class Known(dict[bytes, T]):
    """Bytes -> what `find_out` says of them, which is asked once for those that are in use."""

    __slots__ = ("_find_out",)

    def __init__(self, find_out: Callable[[bytes], T]) -> None:
        super().__init__()
        self._find_out = find_out

    def __missing__(self, key: bytes) -> T:
        found = self._find_out(key)
        if len(key) <= KEY_MAX:
            if len(self) >= KEYS_MAX:
                self.clear()
            self[key] = found
        return found
