"""What the simulator carries, beside the provider of these benchmarks, which costs next to nothing and knows no faults,
and beside that provider in C (`provider.c`), where there is a compiler: what it costs is what the kernel costs.

    python -m tests.bench.simulator [--streams 5000] [--per-s 20] [--seconds 5]

CPU time of each on a core of its own, for a plain answer and for an event of a stream (20 a second), and the memory of
the simulator at so many streams. A busy machine makes both dearer alike, so look at the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.measure import Proxy, checked, measured, small_requests
from tests.support import load
from tests.support.load import Job
from tests.support.meter import Peak, cores
from tests.support.processes import Running, accepts, free_port, module

COMPILER = shutil.which("cc") or ""
"""Of C; empty if there is none."""
SLACK_S = 8.0
"""For a machine on which it takes longer until all are open."""
PLAIN, STREAM = "ttft 0ms, itl 0ms, out 60", "ttft 50ms, itl {gap:g}ms, out {events}"


class Cost(NamedTuple):
    """CPU microseconds for one, how many came a second, and the most MB meanwhile."""

    each_us: float
    per_s: float
    mb: float


@contextlib.contextmanager
def _started(command: Sequence[str], port: int, log: Path) -> Iterator[Proxy]:
    with Running(command, output=log, cpus=cores()[0]) as process:
        process.wait_until(lambda: accepts(port), within_s=60)
        yield Proxy(process.pid, port, exact=False)


@contextlib.contextmanager
def simulator(directory: Path, pace: str) -> Iterator[Proxy]:
    """One provider of that pace."""
    port, scene = free_port(), directory / "scene.toml"
    scene.write_text(f'[upstream.alpha]\npace = "{pace}"\n', encoding="utf-8")
    command = [sys.executable, "-m", "oxllm", "sim", "--scene", str(scene), "--port", str(port), "--seed", "7"]
    with _started(command, port, directory / "sim.log") as proxy:
        yield proxy


@contextlib.contextmanager
def stub(directory: Path, _pace: str) -> Iterator[Proxy]:
    """The provider that the gateways are measured with."""
    port = free_port()
    command = [*module("tests.support.provider"), "--port", str(port)]
    with _started(command, port, directory / "stub.log") as proxy:
        yield proxy


@contextlib.contextmanager
def compiled(directory: Path, _pace: str) -> Iterator[Proxy]:
    """The same in C, built here and now."""
    port = free_port()
    with _started([str(built(directory)), str(port)], port, directory / "c.log") as proxy:
        yield proxy


def built(directory: Path) -> Path:
    """The program of `provider.c`. Raises CalledProcessError."""
    program = directory / "provider"
    subprocess.run([COMPILER, "-O2", "-o", program, Path(__file__).with_name("provider.c")], check=True)
    return program


Start = Callable[[Path, str], contextlib.AbstractContextManager[Proxy]]


def plain(start: Start, directory: Path, seconds: float) -> Cost:
    """Small requests, answered at once."""
    with start(directory, PLAIN) as proxy, Peak(proxy.pid) as peak:
        window = small_requests(proxy, directory, seconds)
    return Cost(window.cpu_s / window.done * 1e6, window.done / window.seconds, peak.mb)


def streams(start: Start, directory: Path, seconds: float, count: int, per_s: float) -> Cost:
    """So many streams at once."""
    events = int((2 * count / 200 + seconds + SLACK_S) * per_s)
    with start(directory, STREAM.format(gap=1000 / per_s, events=events)) as proxy, Peak(proxy.pid) as peak:
        job = Job(
            kind="streams", port=proxy.port, count=count, events=events, every_s=1 / per_s, ramp_s=count / 200,
            exact=False, within_s=events / per_s * 4,
        )  # fmt: skip
        with load.running(job, directory, cpus=cores()[1]) as driver:
            driver.wait_for(lambda seen: seen.open == count, within_s=events / per_s)
            window = checked(measured(proxy, driver, seconds))
    return Cost(window.cpu_s / window.events * 1e6, window.events / window.seconds, peak.mb)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulator")
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--per-s", type=float, default=20.0, help="events of each stream")
    parser.add_argument("--seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    seconds, count = arguments.seconds, arguments.streams
    beside = (stub, compiled) if COMPILER and sys.platform == "linux" else (stub,)
    words = "  ".join(("beside the bare one ", "beside it in C")[: len(beside)])
    print(f"{'':<28}{'CPU':>10}{'a core':>12}{'seen':>12}{'memory':>9}  {words}")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kinds = ("a plain answer", f"an event, {count} streams")
        costs: tuple[Callable[..., Cost], ...] = (plain, functools.partial(streams, count=count, per_s=arguments.per_s))
        for what, cost in zip(kinds, costs, strict=True):
            sim = cost(simulator, directory, seconds)
            line = f"{sim.each_us:>7.1f} µs{1e6 / sim.each_us:>10,.0f}/s{sim.per_s:>10,.0f}/s{sim.mb:>6.0f} MB"
            print(f"{what:<28}{line}", end="", flush=True)
            bare = [cost(start, directory, seconds) for start in beside]
            for one in bare:
                print(f"  {sim.each_us / one.each_us:.1f} x {one.each_us:.1f} µs, {one.mb:.0f} MB", end="")
            print()


if __name__ == "__main__":
    main()
