"""How long the answer takes to a request that is let in, while twice as many ask as are.

    python -m tests.bench.overload [--seconds S] [--write]

The gateway has one core and lets ADMITTED requests in at once (`max_in_flight`), more than fill it: the provider
answers at once. Clients ask again as soon as they are answered, those that were told 503 too, though it says to come
back later: the worst that they can do. Each line is the same gateway; only the number of clients differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench import tables
from tests.bench.instructions import how_built
from tests.bench.measure import WARM_UP_S, Failed
from tests.support import gateway, load, provider
from tests.support.meter import cores
from tests.support.processes import free_port, raise_open_files

ADMITTED = 32
P99_MS_MAX = 50.0


class Line(NamedTuple):
    """What one crowd has seen."""

    clients: int
    answered_per_s: float
    refused_per_s: float
    p50_ms: float
    p99_ms: float
    """Of those that were let in, from the request to its answer."""


def measure(port: int, directory: Path, clients: int, seconds: float) -> Line:
    """So many clients at once. Raises Failed if any was told something else than an answer, or 503 with Retry-After."""
    job = load.Job(kind="requests", port=port, count=clients, within_s=seconds + WARM_UP_S + 60)
    with load.running(job, directory, cpus=cores()[1]) as driver:
        time.sleep(WARM_UP_S)
        first = driver.mark()
        time.sleep(seconds)
        last = driver.mark()
    if last.failed or last.done == first.done:
        raise Failed(f"{last.done - first.done} answers, failures: {last.failed}")
    took = last.clock - first.clock
    answered, refused = (last.done - first.done) / took, (last.refused - first.refused) / took
    return Line(clients, answered, refused, last.answer_p50, last.answer_p99)


def run(seconds: float) -> list[Line]:
    """As many clients as are let in, and twice as many."""
    with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as name:
        directory, port = Path(name), free_port()
        with provider.running(directory, cpus=cores()[1]) as upstream:
            file = directory / "oxllm.toml"
            text = gateway.config(port, [f"http://127.0.0.1:{upstream}/v1"])
            text = text.replace("[server]\n", f"[server]\nmax_in_flight = {ADMITTED}\n")
            file.write_text(text, encoding="utf-8")
            with gateway.serving_file(file, port, cpus=cores()[0]):
                return [measure(port, directory, clients, seconds) for clients in (ADMITTED, 2 * ADMITTED)]


def report(lines: list[Line], build: str) -> str:
    """A table, and whether the goal is met."""
    rows = [
        (f"{line.clients}", f"{line.answered_per_s:,.0f}", f"{line.refused_per_s:,.0f}", *_times(line))
        for line in lines
    ]
    header = ("clients at once", "answered a second", "told 503 a second", "p50 of the answered", "p99 of the answered")
    met = "met" if lines[-1].p99_ms <= P99_MS_MAX else "MISSED"
    goal = (
        f"{met}: p99 of what is let in, at twice as many clients: {lines[-1].p99_ms:.0f} ms, at most {P99_MS_MAX:.0f}"
    )
    return f"{tables.aligned(header, rows)}\n\n- {goal}\n\n{build}, `max_in_flight = {ADMITTED}`; {tables.machine()}."


def _times(line: Line) -> tuple[str, str]:
    return f"{line.p50_ms:.1f} ms", f"{line.p99_ms:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--write", action="store_true", help="write the table into docs/footprint.md")
    arguments = parser.parse_args()
    raise_open_files()
    text = report(run(arguments.seconds), how_built(sys.executable))
    print(text)
    if arguments.write:
        tables.write("overload", text)


if __name__ == "__main__":
    main()
