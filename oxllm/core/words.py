"""Numbers and foreign text as a person wants to read them, in the log and in the status."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def seconds(value: float) -> str:
    """A short time: `230 ms`, `4.2 s`."""
    return f"{value * 1000:.0f} ms" if value < 0.9995 else f"{value:.1f} s"


def duration(value: float) -> str:
    """A long time by its two largest units: `3 d 4 h`, `2 min 3 s`."""
    rest = int(value)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
