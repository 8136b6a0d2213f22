"""Numbers and text from outside, formatted for people: in the log, in the status and on a terminal."""

from __future__ import annotations

from math import ceil


def printable(text: str) -> str:
    """`text` on one line, without anything that a terminal would interpret."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def quoted(text: str) -> str:
    """`text` as a single shell word."""
    if text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        return text
    return "'" + text.replace("'", "'\\''") + "'"


def bracketed(host: str) -> str:
    """The host as in a URL: an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def reached_at(host: str) -> str:
    """Where a listener on `host` can be reached from the same machine: on loopback, if it listens on every address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - nothing is bound here


def text_width(text: str) -> int:
    """Columns that `text` takes on a terminal: two per East Asian wide character, none per combining one (UAX #11)."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # noqa: PLC0415 - large, and seldom needed

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def seconds(value: float) -> str:
    """A short time: `230 ms`, `4.2 s`."""
    return f"{int(value * 1000 + 0.5)} ms" if value < 0.9995 else f"{value:.1f} s"


def duration(value: float) -> str:
    """A long time by its two largest units: `3 d 4 h`, `2 min 3 s`."""
    rest = int(value)
    parts: list[str] = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, rest = divmod(rest, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def remaining(value: float) -> str:
    """A time that is left, rounded up: `41 s`, from two minutes on `3 min`."""
    return f"{ceil(value)} s" if value <= 120 else f"{ceil(value / 60)} min"


def compact(number: int) -> str:
    """A count in at most six characters: `9,999`, `12.3 k`, `456 k`, `7.89 M`."""
    if number < 10_000:
        return f"{number:,}"
    value = float(number)
    for unit in "kMGT":
        value /= 1000
        if value < 999.5:
            return f"{value:#.3g}".rstrip(".") + f" {unit}"
    return f"{value:,.0f} T"


def draining(requests: int, seconds_left: float) -> str:
    """How far a drain is: `draining, 1 request left, 12 s`."""
    return f"draining, {count(requests, 'request')} left, {max(0.0, seconds_left):.0f} s"


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
