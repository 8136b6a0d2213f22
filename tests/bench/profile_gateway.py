"""Where the gateway spends its CPU: top functions and lines under the two loads that count.

    python -m tests.bench.profile_gateway [requests|events] [--seconds S] [--top N]

The cost printed first is that of the gateway under the sampler: some per cent above the true one.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import time
from pathlib import Path

from tests.bench.measure import Proxy, Window, small_requests, stream_events
from tests.support import gateway, provider
from tests.support.meter import cores
from tests.support.processes import Running, raise_open_files

SCRIPT = Path(__file__).with_name("sampled.py")
Samples = dict[str, list[tuple[str, int]]]


def profile(kind: str, seconds: float) -> tuple[Window, Samples]:
    """Runs one load against a sampled gateway."""
    with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as name:
        directory = Path(name)
        with (
            provider.running(directory, cpus=cores()[1]) as upstream,
            gateway.run_script(SCRIPT, directory, [f"http://127.0.0.1:{upstream}/v1"]) as (process, port),
        ):
            os.sched_setaffinity(process.pid, cores()[0])
            os.kill(process.pid, signal.SIGUSR2)
            measure = small_requests if kind == "requests" else stream_events
            window = measure(Proxy(process.pid, port), directory, seconds)
            os.kill(process.pid, signal.SIGUSR2)
            return window, _samples(process)


def _samples(process: Running) -> Samples:
    """What the sampler wrote. Waits up to 10 s for it."""
    for _ in range(100):
        for line in process.output.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("samples {") and line.endswith("}"):
                found: Samples = json.loads(line.removeprefix("samples "))
                return found
        time.sleep(0.1)
    raise RuntimeError(f"no samples:\n{process.tail()}")


def show(title: str, counts: list[tuple[str, int]], total: int, unit_us: float, top: int) -> None:
    print(f"\n{title}")
    for name, count in counts[:top]:
        print(f"  {count / total:6.1%}  {count / total * unit_us:6.1f} µs  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile_gateway")
    parser.add_argument("kind", nargs="?", choices=["requests", "events"], default="requests")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--top", type=int, default=25)
    arguments = parser.parse_args()
    raise_open_files()
    window, samples = profile(arguments.kind, arguments.seconds)
    units = window.done if arguments.kind == "requests" else window.events
    unit_us = window.cpu_s / units * 1e6
    total = sum(count for _, count in samples["own"])
    print(f"{unit_us:.1f} µs of CPU for each of {units} {arguments.kind}; {total} samples")
    show("itself", samples["own"], total, unit_us, arguments.top)
    show("with what it calls", samples["all"], total, unit_us, arguments.top)
    show("lines", samples["lines"], total, unit_us, arguments.top)


if __name__ == "__main__":
    main()
