"""Times in words, for reports."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time in the unit that fits: 57 ms, 1.25 s, 2 min, 24 h."""
    if 0 < seconds < 0.9995:  # anything more would round to 1000 ms
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 120:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"
