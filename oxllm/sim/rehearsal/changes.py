"""Which of a breaker's changes a run had, as far as samples of its state can tell.

    closed --> open --> half-open --> probing --> closed
                ^           ^            |
                '-----------+------------'

An open breaker closes at once where the last resort of a request answers; no run has to show that. Two samples may have
more than one change between them; the shortest way is taken for what happened.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

NEXT = {
    "closed": ("open",),
    "open": ("half-open",),
    "half-open": ("probing",),
    "probing": ("closed", "open", "half-open"),
}
"""State -> those that follow it while nobody interferes."""
ARROW = " -> "


def never_met(seen: Iterable[str]) -> list[str]:
    """The changes that no `STATE -> STATE` of those `seen` can have passed."""
    met = {change for told in seen if ARROW in told for change in _way(*told.split(ARROW))}
    return [f"{one}{ARROW}{other}" for one, others in NEXT.items() for other in others if (one, other) not in met]


def _way(start: str, end: str) -> list[tuple[str, str]]:
    """The shortest way from one state to another, change by change; none if there is none."""
    ways: list[list[str]] = [[start]]
    for way in ways:  # grows while it is walked: breadth first
        if len(way) > 1 and way[-1] == end:
            return list(itertools.pairwise(way))
        ways += [[*way, state] for state in NEXT.get(way[-1], ()) if state not in way[1:]]
    return []
