"""A cache of a function of keys that come again and again, such as header names in providers' heads. Not compiled: a
mypyc class cannot inherit from `dict`, and a hit runs none of this code anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final, TypeVar

K = TypeVar("K", bound=Sized)
T = TypeVar("T")

KEYS_MAX: Final = 512
"""Keys kept at once; a provider and its CDN send some 40 names."""
KEY_MAX: Final = 64
"""Bytes of a key that is kept."""


class Known(dict[K, T]):
    """Key -> `find_out(key)`, called once for each key as long as it is kept."""

    __slots__ = ("_find_out", "_key_max", "_keys_max", "_size")

    def __init__(
        self,
        find_out: Callable[[K], T],
        keys_max: int = KEYS_MAX,
        key_max: int = KEY_MAX,
        size: Callable[[K], int] = len,
    ) -> None:
        """At most `keys_max` keys are kept, and none whose `size` is over `key_max`."""
        super().__init__()
        self._find_out = find_out
        self._keys_max = keys_max
        self._key_max = key_max
        self._size = size

    def __missing__(self, key: K) -> T:
        found = self._find_out(key)
        if self._size(key) <= self._key_max:
            if len(self) >= self._keys_max:
                self.clear()
            self[key] = found
        return found
