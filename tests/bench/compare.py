"""oxllm beside what a user would pick instead, on one core each, behind the same load: a table of ratios.

    python -m tests.bench.compare [--rounds N] [--only NAME …] [--rivals DIR] [--install] [--write]

A round starts every proxy afresh, in an order drawn by lot, and measures it alone; the table has the medians of all
rounds. CPU time is the yardstick, since it hardly depends on what else the machine does; latency and throughput are
wall-clock figures and as noisy as the machine. Load driver and provider run on another core than the proxy, and are
the limit of the throughput that can be shown: where the proxy's core was not full, a `>` says so.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench import rivals, tables
from tests.bench.measure import Failed, Proxy, memory_at_streams, small_requests, stream_events
from tests.bench.rivals import RIVALS, Rival, Site
from tests.support import provider
from tests.support.meter import cores, tree_rss_mb
from tests.support.processes import NotReady, raise_open_files

STREAMS = 500
CONNECTIONS = 64
FULL = 0.9
"""A core that is busy for this share of the time is taken for full."""


class Sample(NamedTuple):
    """What one round says of one proxy."""

    request_us: float
    event_us: float
    added_ms: float
    """p50 through the proxy with one connection, less the p50 without it."""
    idle_mb: float
    streams_mb: float
    streams: int
    per_s: float
    busy: float


class Goal(NamedTuple):
    """Ratios, each at most; but for `times`, at least."""

    request: float
    event: float
    rss: float
    times: float
    """Of LiteLLM's requests a second."""


GOALS = {"oxllm": Goal(1.25, 1.15, 0.9, 90), "oxllm, compiled": Goal(0.75, 0.95, 0.9, 150)}


class Row(NamedTuple):
    """The medians of a proxy's samples; None if it is absent or failed, and why."""

    name: str
    sample: Sample | None
    note: str = ""


class Bench:
    """Where the rounds run, and how long each measurement lasts."""

    def __init__(self, directory: Path, wheels: Path, upstream: int, seconds: float) -> None:
        self._directory = directory
        self._wheels = wheels
        self._upstream = upstream
        self._seconds = seconds
        self.notes: dict[str, str] = {}

    def site(self) -> Site:
        return rivals.site(self._directory, self._upstream, self._wheels)

    def sample(self, rival: Rival) -> Sample | None:
        """One rival once. None, and a note of why, if it is absent or did not do its work."""
        try:
            with rivals.running(rival, self.site()) as proxy:
                return self._measure(rival, proxy)
        except LookupError:
            self.notes[rival.name] = "absent"
        except (NotReady, Failed) as failure:
            print(f"{rival.name}: {failure}", file=sys.stderr)
            self.notes[rival.name] = "failed"
        return None

    def _measure(self, rival: Rival, proxy: Proxy) -> Sample:
        idle_mb = tree_rss_mb(proxy.pid)
        direct = small_requests(proxy._replace(port=self._upstream, exact=True), self._directory, 1.0, 1)
        alone = small_requests(proxy, self._directory, max(1.0, self._seconds / 3), 1)
        requests = small_requests(proxy, self._directory, self._seconds, CONNECTIONS if rival.strength == 1 else 8)
        events = stream_events(proxy, self._directory, self._seconds, streams=max(4, int(200 * rival.strength)))
        memory_mb, seen = memory_at_streams(proxy, self._directory, STREAMS, hold_s=5.0 if rival.strength == 1 else 40)
        return Sample(
            request_us=requests.cpu_s / requests.done * 1e6,
            event_us=events.cpu_s / events.events * 1e6,
            added_ms=alone.last.answer_p50 - direct.last.answer_p50,
            idle_mb=idle_mb,
            streams_mb=memory_mb,
            streams=seen.open_max,
            per_s=requests.done / requests.seconds,
            busy=requests.cpu_s / requests.seconds,
        )

    def rounds(self, chosen: Sequence[Rival], count: int, rng: random.Random) -> list[Row]:
        """Every rival once a round, in an order of its own; one that is absent or failed is not tried again."""
        samples: dict[str, list[Sample]] = {rival.name: [] for rival in chosen}
        for number in range(count):
            for rival in rng.sample(chosen, len(chosen)):
                if rival.name in self.notes:
                    continue
                print(f"round {number + 1} of {count}: {rival.name}", file=sys.stderr)
                if (sample := self.sample(rival)) is not None:
                    samples[rival.name].append(sample)
        return [self._row(rival.name, samples[rival.name]) for rival in chosen]

    def _row(self, name: str, samples: Sequence[Sample]) -> Row:
        return Row(name, median(samples) if samples else None, self.notes.get(name, ""))


def median(samples: Sequence[Sample]) -> Sample:
    """Column by column."""
    columns = [statistics.median(column) for column in zip(*samples, strict=True)]
    return Sample(*columns)._replace(streams=int(columns[Sample._fields.index("streams")]))


def table(rows: Sequence[Row]) -> str:
    """Figures, and behind each cost its ratio to Envoy's, or to nginx's where that is the one to beat."""
    found = {row.name: row.sample for row in rows if row.sample}
    envoy, nginx = found.get("envoy"), found.get("nginx")
    header = (
        "one core, one worker",
        "CPU µs per small request",
        "CPU µs per stream event",
        "added p50",
        "idle RSS",
        f"RSS at {STREAMS} streams",
        "requests/s",
    )
    lines = []
    for name, sample, note in rows:
        label = f"**{name}**" if name in GOALS else name
        if sample is None:
            lines.append((label, note, *[""] * (len(header) - 2)))
            continue
        crowd = "" if sample.streams == STREAMS else f" ({sample.streams} open)"
        lines.append(
            (
                label,
                f"{sample.request_us:,.0f}{_ratio(sample.request_us, envoy and envoy.request_us)}",
                f"{sample.event_us:,.0f}{_ratio(sample.event_us, envoy and envoy.event_us)}",
                f"{sample.added_ms * 1e3:,.0f} µs",
                f"{sample.idle_mb:.0f} MB",
                f"{sample.streams_mb:.0f} MB{crowd}{_ratio(sample.streams_mb, nginx and nginx.streams_mb)}",
                f"{'' if sample.busy >= FULL else '> '}{sample.per_s:,.0f}",
            )
        )
    return tables.aligned(header, lines)


def _ratio(value: float, to: float | None) -> str:
    return f" ({value / to:.2f})" if to else ""


def verdicts(rows: Sequence[Row]) -> list[str]:
    """The goals, each with what was measured: reached or not."""
    found = {row.name: row.sample for row in rows if row.sample}
    if not GOALS.keys() & found.keys():
        return ["oxllm itself did not run."]
    return [line for name, goal in GOALS.items() if name in found for line in _verdicts(name, goal, found)]


def _verdicts(name: str, goal: Goal, found: Mapping[str, Sample]) -> list[str]:
    ours, lines = found[name], []
    if envoy := found.get("envoy"):
        lines += [
            _at_most(f"{name}: CPU per small request, of Envoy's", ours.request_us / envoy.request_us, goal.request),
            _at_most(f"{name}: CPU per stream event, of Envoy's", ours.event_us / envoy.event_us, goal.event),
        ]
    if nginx := found.get("nginx"):
        lines.append(_at_most(f"{name}: RSS at 500 streams, of nginx's", ours.streams_mb / nginx.streams_mb, goal.rss))
    if litellm := found.get("litellm"):
        lines.append(_at_most(f"{name}: LiteLLM's requests/s, of ours", litellm.per_s / ours.per_s, 1 / goal.times))
    return lines


def _at_most(text: str, ratio: float, most: float) -> str:
    return f"{'reached' if ratio <= most else 'MISSED'}: {text}: {ratio:.3g}, at most {most:.3g}"


def report(rows: Sequence[Row], rounds: int) -> str:
    goals = "\n".join(f"- {line}" for line in verdicts(rows))
    under = "In brackets: the ratio to Envoy's CPU, and to nginx's memory."
    return f"{table(rows)}\n\n{under} {tables.machine()}; medians of {rounds} rounds.\n\n{goals}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.compare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--only", nargs="+", choices=[rival.name for rival in RIVALS], help="leave the others out")
    parser.add_argument("--rivals", type=Path, default=Path(tempfile.gettempdir()) / "oxllm-rivals")
    parser.add_argument("--install", action="store_true", help="first install the wheels there, each in its own venv")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="of the order")
    parser.add_argument("--write", action="store_true", help="write the table into docs/footprint.md")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    raise_open_files()
    if arguments.install:
        rivals.install(arguments.rivals)
    chosen = [rival for rival in RIVALS if not arguments.only or rival.name in arguments.only]
    with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as name:
        directory = Path(name)
        with provider.running(directory, cpus=cores()[1]) as upstream:
            bench = Bench(directory, arguments.rivals, upstream, arguments.seconds)
            rows = bench.rounds(chosen, arguments.rounds, random.Random(arguments.seed))
    text = report(rows, arguments.rounds)
    print(text)
    if arguments.write:
        tables.write("comparison", text)


if __name__ == "__main__":
    main()
