"""The live strip of `oxllm sim`: a row for each provider, a mark for each request.

.  healthy      4  429 or another 4xx      5  5xx      x  any other fault      _  under way
"""

from __future__ import annotations

import itertools
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator

import click
import msgspec

from oxllm.sim.provider.ledger import GONE, Harm, Ledger, Record
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.serve.live import Live
from oxllm.sim.serve.ports import State
from oxllm.words import count

LEFT = "-"
LEGEND = ". healthy  4 429, other 4xx  5 server error  x other fault  - left  _ under way"
RECENT_S = 10.0
"""Rates and shares cover only this many last seconds, so that they are current."""
NAME_MAX = 16
MARKS_MAX = 300
"""No terminal is wider."""
_COLOURS = {".": "green", "4": "yellow", "5": "red", "x": "magenta", "_": "white", LEFT: "white"}


def mark(record: Record) -> str:
    """One character for one request."""
    status = record.status
    if status is not None and status >= 400:
        return "5" if status >= 500 else "4"
    if record.end is None:
        return "_"
    if record.harm is not Harm.NONE:
        return "x"
    return LEFT if record.end == GONE else "."


class Glance(msgspec.Struct, frozen=True):
    """One provider at one moment."""

    name: str
    state: str
    """`healthy`, `faults` while scenes play, `patched`, or its port's state with the seconds that are left."""
    dark: bool
    rate: float
    """Requests a second in the last RECENT_S."""
    share: float
    """The share of them that was struck."""
    marks: str
    """Marks of the latest requests, the newest last."""

    def row(self, widest: int, width: int, colour: bool) -> str:
        """At most `width` columns; `widest`: length of the longest name."""
        head = f"{self.name[:NAME_MAX]:<{min(widest, NAME_MAX)}} "
        state = f"{self.state:<14} "
        rates = f"{self.rate:5.1f} {self.share:>6.0%}  "
        room = width - len(head) - len(state) - len(rates)
        if room < 1 or not colour:
            return (head + state + rates + self.marks[-max(room, 1) :])[:width]
        shade = "red" if self.dark else "yellow" if self.state.startswith("faults") else None
        marks = "".join(click.style(m, fg=_COLOURS[m]) for m in self.marks[-room:])
        return click.style(head, bold=True) + click.style(state, fg=shade, reverse=self.dark) + rates + marks


def glance(live: Live) -> Iterator[Glance]:
    """All providers now."""
    for name, provider in live.providers.items():
        elapsed, newest = provider.elapsed(live.now), reversed(provider.ledger.records)
        latest = list(itertools.islice(newest, MARKS_MAX))
        lately = list(_since(elapsed - RECENT_S, provider.ledger))
        dark = live.ports[name].state is not State.OPEN
        share = sum(map(_is_struck, lately)) / max(1, len(lately))
        rate = len(lately) / min(RECENT_S, max(elapsed, 1.0))
        yield Glance(name, _state(live, name), dark, rate, share, "".join(map(mark, reversed(latest))))


def _since(moment: float, ledger: Ledger) -> Iterator[Record]:
    return itertools.takewhile(lambda record: record.arrived > moment, reversed(ledger.records))


def _state(live: Live, name: str) -> str:
    provider, port = live.providers[name], live.ports[name].state
    now = live.now
    if port is State.OPEN:
        playing = provider.judge.playing(provider.elapsed(now))
        return "patched" if provider.patched else "faults" if playing else "healthy"
    left = provider.next_change(now) - now
    return port.value if left == FOREVER or port is State.CLOSED else f"{port.value} {left:.0f}s"


def draw(live: Live, first: bool) -> str:
    """The strip for a terminal, drawn over the previous one, and over a `^C` that the terminal may have echoed."""
    width = shutil.get_terminal_size().columns - 1
    rows = list(glance(live))
    widest = max(len(row.name) for row in rows)
    lines = [head(widest)[:width], *(row.row(widest, width, colour=True) for row in rows)]
    up = "" if first else f"\r\x1b[{len(lines)}A"
    return up + "".join(f"\x1b[2K{line}\n" for line in lines)


def head(widest: int) -> str:
    """The heading of the columns."""
    return f"{'':<{min(widest, NAME_MAX)}} {'state':<14} req/s struck  latest requests"


def summary(live: Live, width: int = 80) -> Iterator[str]:
    """What became of each provider's requests, for the end of a run."""
    for name, provider in live.providers.items():
        records = provider.ledger.records
        struck = Counter(record.fault or record.why for record in records if _is_struck(record))
        refused = Counter(f"{record.status}" for record in records if _is_refused(record))
        told = f"{name}: {count(provider.ledger.requests, 'request')}, {_counted(struck, 'struck')}"
        told += f"; {_counted(refused, 'refused')}" if refused else ""
        yield from textwrap.wrap(told, width, break_on_hyphens=False, subsequent_indent="  ")


def _counted(kinds: Counter[str], word: str) -> str:
    """`3 struck: 500 2, 429 1`."""
    each = ", ".join(f"{kind} {times}" for kind, times in kinds.most_common())
    return f"{kinds.total()} {word}: {each}" if kinds else f"0 {word}"


def _is_struck(record: Record) -> bool:
    """Whether a fault or a limit struck it, even if it has not ended."""
    return record.over is not None or record.harm is not Harm.NONE


def _is_refused(record: Record) -> bool:
    """Whether it was refused for what it asks."""
    return not _is_struck(record) and mark(record) in "45"


class Plain:
    """Lines for output that is not a terminal: a port that changed, a request that was struck."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}
        self._states: dict[str, State] = {}

    def lines(self, live: Live) -> Iterator[str]:
        """What is new since the last call."""
        for name, provider in live.providers.items():
            at = f"{provider.elapsed(live.now):8.1f}s {name}"
            state = live.ports[name].state
            if self._states.setdefault(name, State.OPEN) is not state:
                self._states[name] = state
                yield f"{at} port is now {state.value}"
            for record in self._new(name, provider.ledger):
                if record.fault is not None or record.over is not None:
                    who = f"request {record.key}" if record.ordinal else record.key
                    yield f"{record.arrived:8.1f}s {name} {who}: {record.fault or record.why}"

    def _new(self, name: str, ledger: Ledger) -> list[Record]:
        fresh = ledger.added - self._seen.get(name, 0)
        self._seen[name] = ledger.added
        return list(itertools.islice(reversed(ledger.records), fresh))[::-1]
