"""Whose answer is it? Answers that a provider keeps can be asked for, continued and deleted there, and nowhere else.

What is remembered of an answer is a number that its id hashes to (SipHash of 64 bits, with a key of this process) and
who made it: some 70 bytes, however long the id. The least recently used goes first. A process whose config is read
again goes on with the same memory; a new one begins with none, and then asks each provider in turn.
"""

from __future__ import annotations

import msgspec

OWNERS_MAX = 4096
"""Answers that are remembered: some 300 KB of them, days of a team's work, or minutes of a crowd's. One that is
forgotten is still found, only not at once."""

Owner = tuple[str, str]
"""A provider's name and base URL: another server under the same name has not made the answer."""

_decode_keys = msgspec.json.Decoder(list[int]).decode

_Made = tuple[Owner, str]
"""Who made an answer, and for which model name of the config; empty if nobody knows."""


class Owners:
    """Which provider made which answer."""

    __slots__ = ("_kinds", "_owners", "_packed")

    def __init__(self) -> None:
        self._owners: dict[int, _Made] = {}
        """In the order of their last use."""
        self._kinds: dict[_Made, _Made] = {}
        """One of each, which all entries share: there are as many as providers and models that ever were."""
        self._packed: tuple[bytes, list[_Made]] | None = None
        """The same in two pieces of memory, until it is needed again."""

    def __len__(self) -> int:
        return len(self._unpacked())

    def remember(self, answer: str, owner: Owner, model: str = "") -> None:
        """This provider has given the id, when it was asked for that model."""
        made = owner, model
        self._use(hash(answer), self._kinds.setdefault(made, made))

    def owner(self, answer: str) -> Owner | None:
        """Who has given it; None if nobody remembers."""
        key = hash(answer)
        made = self._unpacked().get(key)
        if made is None:
            return None
        self._use(key, made)
        return made[0]

    def model(self, answer: str) -> str:
        """For which model; empty if nobody remembers. It is no use of it."""
        made = self._unpacked().get(hash(answer))
        return "" if made is None else made[1]

    def _use(self, key: int, made: _Made) -> None:
        owners = self._unpacked()
        owners.pop(key, None)
        owners[key] = made
        if len(owners) > OWNERS_MAX:
            del owners[next(iter(owners))]

    def pack(self) -> None:
        """Have it in one piece while nobody asks: thousands of small objects from the middle of a burst would keep the
        memory around them, since the allocator returns whole pages only."""
        if self._owners:
            self._packed = msgspec.json.encode(list(self._owners)), list(self._owners.values())
            self._owners = {}

    def _unpacked(self) -> dict[int, _Made]:
        if self._packed is not None:
            keys, owners = self._packed
            self._owners, self._packed = dict(zip(_decode_keys(keys), owners, strict=True)), None
        return self._owners
