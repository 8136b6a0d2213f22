"""Suggestions for a name that does not exist."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import chain, pairwise

SIMILAR_MAX = 3
"""Names offered for one that does not exist."""
WANTED_MAX = 128
"""Characters of the wanted name that are looked at: a client may send any number."""
COMPARED_MAX = 64
"""Names that are compared in full. There may be thousands, and nobody else is served meanwhile: of so many only those
that share the most neighbours with the wanted name are, which takes a tenth of the time to find out."""


def similar(wanted: str, names: Iterable[str]) -> list[str]:
    """Up to three of `names` that are close to `wanted`, the likeliest first."""
    wanted = wanted[:WANTED_MAX]
    pairs = _pairs(wanted)
    likeness = {name: _dice(pairs, _pairs(name)) for name in _likely(wanted.casefold(), names)}
    close = sorted((name for name in likeness if likeness[name] >= 0.4), key=lambda name: (-likeness[name], name))
    return close[:SIMILAR_MAX]


def _likely(wanted: str, names: Iterable[str]) -> list[str]:
    """COMPARED_MAX of `names`: those of whose pairs of neighbours the most stand in `wanted` at most two apart."""
    both_ways = (wanted, wanted[::-1])
    near = {pair for text in both_ways for pair in chain(pairwise(text), zip(text, text[2:], strict=False))}

    def rank(name: str) -> float:
        folded = name.casefold()
        return len(near.intersection(pairwise(folded))) / (1 + len(wanted) + len(folded))

    return heapq.nlargest(COMPARED_MAX, names, rank)


def _pairs(name: str) -> frozenset[str]:
    """Pairs of characters at most two apart, in either order: so `gtp4` has all the pairs of `gpt4`."""
    name = name.casefold()
    near = (name[i] + name[j] for i in range(len(name)) for j in range(i + 1, min(i + 3, len(name))))
    return frozenset(min(pair, pair[::-1]) for pair in near) or frozenset((name,))


def _dice(one: frozenset[str], other: frozenset[str]) -> float:
    """Sørensen-Dice coefficient: 1 for the same pairs of letters, 0 for none in common."""
    return 2 * len(one & other) / (len(one) + len(other))
