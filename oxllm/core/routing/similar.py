"""Suggestions for a name that does not exist."""

from __future__ import annotations

from collections.abc import Iterable

SIMILAR_MAX = 3
"""Names offered for one that does not exist."""
WANTED_MAX = 128
"""Characters of the wanted name that are looked at: a client may send any number."""


def similar(wanted: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that are close to `wanted`, the likeliest first."""
    pairs = _pairs(wanted[:WANTED_MAX])
    likeness = {name: _dice(pairs, _pairs(name)) for name in names}
    close = sorted((name for name in likeness if likeness[name] >= 0.4), key=lambda name: (-likeness[name], name))
    return close[:SIMILAR_MAX]


def _pairs(name: str) -> frozenset[str]:
    """Pairs of characters at most two apart, in either order: so `gtp4` has all the pairs of `gpt4`."""
    name = name.casefold()
    near = (name[i] + name[j] for i in range(len(name)) for j in range(i + 1, min(i + 3, len(name))))
    return frozenset(min(pair, pair[::-1]) for pair in near) or frozenset((name,))


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    """Sørensen-Dice coefficient: 1 for the same pairs of letters, 0 for none in common."""
    return 2 * len(one & other) / (len(one) + len(other))
