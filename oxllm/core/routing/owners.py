"""Which provider made an answer: one that a provider stores can be fetched, continued and deleted only there.

Remembered of each answer are a hash of its id (64-bit SipHash, keyed by this process) and its maker: some 70 bytes,
however long the id. The least recently used is dropped first. This memory survives a reload of the config; a new
process begins without any, and then asks each provider in turn.
"""

from __future__ import annotations

import msgspec

OWNERS_MAX = 4096
"""Answers remembered: some 300 KB; days of a team's work, or minutes of a crowd's. A forgotten one is still found, but
not at once."""

Owner = tuple[str, str]
"""A provider's name and base URL: another server under the same name would not have the answer."""

_decode_keys = msgspec.json.Decoder(list[int]).decode

_Made = tuple[Owner, str]
"""The maker of an answer, and the model name in the config that it was made for; empty if unknown."""


class Owners:
    """Which provider made which answer."""

    __slots__ = ("_kinds", "_owners", "_packed")

    def __init__(self) -> None:
        self._owners: dict[int, _Made] = {}
        """In order of last use."""
        self._kinds: dict[_Made, _Made] = {}
        """One object of each value, shared by all entries: as many as there ever were providers and models."""
        self._packed: tuple[bytes, list[_Made]] | None = None
        """The same in compact form, until it is needed again."""

    def __len__(self) -> int:
        return len(self._unpacked())

    def remember(self, answer: str, owner: Owner, model: str = "") -> None:
        """This provider has given out the id `answer`, for a request of that model."""
        made = owner, model
        self._use(hash(answer), self._kinds.setdefault(made, made))

    def owner(self, answer: str) -> Owner | None:
        """The provider that made it; None if not remembered. Counts as a use."""
        key = hash(answer)
        made = self._unpacked().get(key)
        if made is None:
            return None
        self._use(key, made)
        return made[0]

    def model(self, answer: str) -> str:
        """The model that it was made for; empty if not remembered. Does not count as a use."""
        made = self._unpacked().get(hash(answer))
        return "" if made is None else made[1]

    def _use(self, key: int, made: _Made) -> None:
        owners = self._unpacked()
        owners.pop(key, None)
        owners[key] = made
        if len(owners) > OWNERS_MAX:
            del owners[next(iter(owners))]

    def pack(self) -> None:
        """Compact it until the next use: thousands of small objects from the middle of a burst would pin the memory
        around them, since the allocator only returns whole pages."""
        if self._owners:
            self._packed = msgspec.json.encode(list(self._owners)), list(self._owners.values())
            self._owners = {}

    def _unpacked(self) -> dict[int, _Made]:
        if self._packed is not None:
            keys, owners = self._packed
            self._owners, self._packed = dict(zip(_decode_keys(keys), owners, strict=True)), None
        return self._owners
