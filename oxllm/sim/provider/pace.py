"""When tokens arrive: `ttft 400ms lognormal 0.6, itl 18ms bursty 0.7, out 20..200`.

`ttft` is the time to first token, `itl` the inter-token latency, `out` the number of tokens. A time is always the mean;
the shape says how the values are distributed around it:

    lognormal S     log-normal with sigma S: a long tail of slow values
    bursty P        with probability P a token comes together with the previous one; the other gaps are longer for it
    (nothing)       always exactly the mean

    load N          for the whole pace: with more than N answers at once, all times grow in proportion

Deadlines are absolute. Sleeping gap by gap would accumulate every delay of the event loop: 17 % at 200 streams.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator

import msgspec

from oxllm.sim.provider.chance import Series, normal

NAMED = {
    "instant": "ttft 0ms, itl 0ms, out 20..60",
    "fast": "ttft 50ms lognormal 0.3, itl 5ms bursty 0.5, out 20..100",
    "normal": "ttft 400ms lognormal 0.6, itl 18ms bursty 0.7, out 20..200",
    "slow": "ttft 2s lognormal 0.8, itl 60ms bursty 0.5, out 20..200",
}
FOREVER = float("inf")
"""A time that never comes."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?$")
_PER_SECOND = {"ms": 1000, "s": 1, "m": 1 / 60, "h": 1 / 3600, None: 1}


class BadPace(ValueError):
    """The text is not a pace."""


class Spread(msgspec.Struct, frozen=True):
    """A mean in seconds and the shape around it."""

    mean: float
    shape: str = "fixed"
    parameter: float = 0.0

    def sample(self, series: Series) -> float:
        if self.shape == "lognormal":
            sigma = self.parameter
            return self.mean * math.exp(sigma * normal(series) - sigma * sigma / 2)
        if self.shape == "bursty":
            return 0.0 if series.random() < self.parameter else self.mean / (1 - self.parameter)
        return self.mean


class Pace(msgspec.Struct, frozen=True):
    """How fast one provider answers, and how much."""

    ttft: Spread = Spread(0.4, "lognormal", 0.6)
    itl: Spread = Spread(0.018, "bursty", 0.7)
    out: tuple[int, int] = (20, 200)
    load: int | None = None
    """Answers at once above which it slows down; None = never."""

    def slowdown(self, answering: int) -> float:
        """Factor by which all times grow with this many answers under way."""
        return 1.0 if self.load is None else max(1.0, answering / self.load)

    def length(self, draw: float) -> int:
        low, high = self.out
        return low + int(draw * (high - low + 1))

    @property
    def is_fixed(self) -> bool:
        """Its times are not random."""
        return self.ttft.shape == self.itl.shape == "fixed"

    def deadlines(self, series: Series, start: float, slowdown: float = 1.0) -> Iterator[float]:
        """When each token is due: the first after the TTFT, each further one a gap after the previous."""
        due = start + self.ttft.sample(series) * slowdown
        while True:
            yield due
            due += self.itl.sample(series) * slowdown


def seconds(text: str) -> float:
    """`400ms`, `18`, `2s`, `1.5m`, `2h` in seconds. Raises ValueError."""
    match = _DURATION.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write 400ms, 2s, 1m or 2h")
    return float(match[1]) / _PER_SECOND[match[2]]


def parse(text: str) -> Pace:
    """The pace that `text` describes, or one of NAMED. What it omits is as in `normal`. Raises BadPace."""
    fields: dict[str, object] = {}
    for part in NAMED.get(text.strip(), text).split(","):
        word, _, rest = part.strip().partition(" ")
        if word not in _READERS:
            words = "ttft, itl, out or load"
            raise BadPace(f"{part.strip()!r} in pace {text!r}: write {words}, or one of {', '.join(NAMED)}")
        try:
            fields[word] = _READERS[word](rest)
        except ValueError as error:
            raise BadPace(f"{part.strip()!r} in pace {text!r}: {error}") from None
    return msgspec.convert({**msgspec.to_builtins(Pace()), **msgspec.to_builtins(fields)}, Pace)


def _range(text: str) -> tuple[int, int]:
    low, dots, high = text.strip().partition("..")
    if not low.isdigit() or (dots and not high.isdigit()):
        raise ValueError("write a range of tokens such as 20..200")
    first, last = int(low), int(high or low)
    if not 1 <= first <= last:
        raise ValueError("the range must rise and begin at 1 or more")
    return first, last


def _spread(text: str) -> Spread:
    words = text.split()
    if len(words) not in (1, 3):
        raise ValueError("write a duration, and a shape if you like: 400ms lognormal 0.6")
    mean = seconds(words[0])
    if len(words) == 1:
        return Spread(mean)
    shape, parameter = words[1], float(words[2])
    if shape not in ("lognormal", "bursty"):
        raise ValueError(f"unknown shape {shape!r}; write lognormal or bursty")
    if parameter < 0 or (shape == "bursty" and parameter >= 1):
        raise ValueError("bursty takes a chance below 1, lognormal a sigma of 0 or more")
    return Spread(mean, shape, parameter)


def _load(text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise ValueError("write how many answers at once it is made for, such as load 20")
    return int(text)


_READERS: dict[str, Callable[[str], object]] = {"ttft": _spread, "itl": _spread, "out": _range, "load": _load}
