"""What has been found out about keys that come again and again, as the names in providers' heads do. Interpreted: a
class of mypyc could not inherit from `dict`, and what is known is found without a line of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final, TypeVar

K = TypeVar("K", bound=Sized)
T = TypeVar("T")

KEYS_MAX: Final = 512
"""Kept at once; a provider and its CDN send some 40 names."""
KEY_MAX: Final = 64
"""Bytes of one that is kept."""


class Known(dict[K, T]):
    """Key -> what `find_out` says of it, which is asked once for those that are in use."""

    __slots__ = ("_find_out", "_key_max", "_keys_max", "_size")

    def __init__(
        self,
        find_out: Callable[[K], T],
        keys_max: int = KEYS_MAX,
        key_max: int = KEY_MAX,
        size: Callable[[K], int] = len,
    ) -> None:
        """So many keys are kept at once, none of a larger `size` than `key_max`."""
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
