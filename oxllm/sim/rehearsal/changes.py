"""Which transitions of a breaker occurred in a run, as far as samples of its state tell.

    closed --> open --> half-open --> probing --> closed
                ^           ^            |
                '-----------+------------'

An open breaker closes at once if it is a request's last resort and answers; no run has to show that. There may be more
than one transition between two samples; the shortest path is assumed.
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
"""State -> the states that follow it without intervention."""
ARROW = " -> "


def never_met(seen: Iterable[str]) -> list[str]:
    """The transitions that are on the path of none of the `STATE -> STATE` in `seen`."""
    met = {change for told in seen if ARROW in told for change in _way(*told.split(ARROW))}
    return [f"{one}{ARROW}{other}" for one, others in NEXT.items() for other in others if (one, other) not in met]


def _way(start: str, end: str) -> list[tuple[str, str]]:
    """The shortest path from one state to another, as transitions; empty if there is none."""
    ways: list[list[str]] = [[start]]
    for way in ways:  # grows during iteration: breadth first
        if len(way) > 1 and way[-1] == end:
            return list(itertools.pairwise(way))
        ways += [[*way, state] for state in NEXT.get(way[-1], ()) if state not in way[1:]]
    return []
