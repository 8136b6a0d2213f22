"""The live strip of `oxllm sim`: one mark a request, one row a provider, understood at a glance.

.  healthy      4  429 or another 4xx      5  5xx      x  broken answer or connection      _  under way
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import click

from .ledger import Record
from .live import Live
from .ports import State

LEGEND = ". healthy   4 rate limit or other 4xx   5 server error   x broken   _ under way"
_COLOURS = {".": "green", "4": "yellow", "5": "red", "x": "magenta", "_": "white"}


def mark(record: Record) -> str:
    """One character for one request."""
    status = record.status
    if status is not None and status >= 400:
        return "5" if status >= 500 else "4"
    if record.end is None:
        return "_"
    return "." if record.fault is None and record.end == "complete" else "x"


def rows(live: Live, width: int, colour: bool) -> Iterator[str]:
    """A row for each provider: name, port, requests, share that failed, and the marks of the latest."""
    longest = max(map(len, live.providers))
    for name, provider in live.providers.items():
        records = provider.ledger.records
        failed = sum(mark(record) in "45x" for record in records)
        share = failed / len(records) if records else 0.0
        state = live.ports[name].state
        port = "" if state is State.OPEN else f" {state.value.upper()}"
        head = f"{name:<{longest}} {len(records):>6} requests {share:>5.1%} failed{port} "
        room = max(10, width - len(head))
        latest = [mark(record) for record in list(records)[-room:]]
        yield head + "".join(click.style(m, fg=_COLOURS[m]) if colour else m for m in latest)


def draw(live: Live, first: bool) -> str:
    """The strip for a terminal, over the one before."""
    width = shutil.get_terminal_size().columns - 1
    up = "" if first else f"\x1b[{len(live.providers)}A"
    return up + "".join(f"\x1b[2K{row}\n" for row in rows(live, width, colour=True))


class Plain:
    """Lines for what is no terminal: a port that changed, a request that was struck."""

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
            ledger = provider.ledger
            new = list(ledger.records)[self._seen.get(name, 0) :]
            self._seen[name] = len(ledger.records)
            for record in new:
                if record.fault is not None:
                    yield f"{record.arrived:8.1f}s {name} request {record.key}: {record.fault}"
