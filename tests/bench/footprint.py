"""Makes the first two tables of docs/footprint.md: what oxllm costs beside a plain Python proxy, and what imports cost.

    python -m tests.bench.footprint [--short] [--write]

Both proxies run here, in this Python, one after the other, behind the same load and in front of the same provider.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from oxllm import launch
from tests.bench import tables
from tests.bench.measure import Proxy, memory_at_streams, small_requests, stream_events
from tests.support import gateway, provider
from tests.support.meter import cores, rss_mb
from tests.support.processes import Running, answers, free_port, module, raise_open_files

STREAMS = 1000
IDLE_AFTER_S = 3.0

_TLS = (
    "import asyncio, httptools, ssl; context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT);"
    "context.load_verify_locations(capath=ssl.get_default_verify_paths().capath)"
)
IMPORTS = [
    ("the interpreter", ""),
    ("+ asyncio (brings ssl)", "import asyncio"),
    ("+ httptools", "import asyncio, httptools"),
    ("+ a TLS client context (CA directory)", _TLS),
    ("+ msgspec", f"{_TLS}; import msgspec"),
    ("+ oxllm.gateway, all of it", f"{_TLS}; import oxllm.gateway.process"),
]
BESIDE = ("click", "pydantic", "httpx", "starlette.applications", "uvicorn", "uvloop")
"""Libraries that do not fit into the serving process: what each adds to asyncio alone."""


class Cost(NamedTuple):
    """One row: what a proxy costs."""

    name: str
    idle_mb: float
    request_us: float
    event_us: float
    loaded_mb: float
    content_ms: float
    """p50 of the first content of the streams that all come at once."""


@contextlib.contextmanager
def oxllm(directory: Path, upstream: int) -> Iterator[Proxy]:
    urls = [f"http://127.0.0.1:{upstream}/v1"]
    with gateway.serving(directory, urls, cpus=cores()[0]) as (process, port):
        yield Proxy(process.pid, port)


@contextlib.contextmanager
def baseline(directory: Path, upstream: int) -> Iterator[Proxy]:
    port = free_port()
    command = module("tests.bench.baseline", "--port", str(port), "--upstream", f"http://127.0.0.1:{upstream}/v1")
    with Running(command, output=directory / "baseline.log", cpus=cores()[0]) as process:
        process.wait_until(lambda: answers(port, "/health"))
        yield Proxy(process.pid, port)


def cost(name: str, proxy: AbstractContextManager[Proxy], directory: Path, seconds: float) -> Cost:
    """Idle first, then requests, then events, then the crowd: a crowd's idle connections would weigh on the rest."""
    with proxy as running:
        time.sleep(IDLE_AFTER_S)
        idle_mb = rss_mb(running.pid)
        requests = small_requests(running, directory, seconds)
        events = stream_events(running, directory, seconds, streams=50)
        loaded_mb, seen = memory_at_streams(running, directory, STREAMS, hold_s=2 * seconds + 5)
    if seen.failed:
        print(f"{name}: of {STREAMS} streams failed: {seen.failed}", file=sys.stderr)
    return Cost(
        name,
        idle_mb,
        requests.cpu_s / requests.done * 1e6,
        events.cpu_s / events.events * 1e6,
        loaded_mb,
        seen.content_p50,
    )


def costs(seconds: float) -> list[Cost]:
    with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as name:
        directory = Path(name)
        with provider.running(directory, cpus=cores()[1]) as upstream:
            plain = cost("Starlette + uvicorn + httpx", baseline(directory, upstream), directory, seconds)
            return [plain, cost("**oxllm**", oxllm(directory, upstream), directory, seconds)]


def cost_table(rows: list[Cost]) -> str:
    header = (
        "data plane",
        "idle RSS",
        f"RSS at {STREAMS:,} SSE streams",
        "first content p50",
        "CPU per small request",
        "CPU per stream event",
    )
    return tables.aligned(
        header,
        [
            (
                row.name,
                f"{row.idle_mb:.1f} MB",
                f"{row.loaded_mb:.1f} MB",
                f"{row.content_ms:,.0f} ms",
                f"{row.request_us:,.0f} µs",
                f"{row.event_us:,.0f} µs",
            )
            for row in rows
        ],
    )


def import_mb(statements: str) -> float | None:
    """RSS of an interpreter that has done this and nothing else, seen from outside. None if it could not."""
    code = f"{statements}\nprint('ready', flush=True)\ninput()"
    command = [sys.executable, "-P", "-c", code]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=launch.environment({})
    ) as process:
        assert process.stdout is not None
        ready = process.stdout.readline() == b"ready\n"
        found = rss_mb(process.pid) if ready else None
        process.kill()
    return found


def import_table() -> str:
    rows = []
    for name, statements in IMPORTS:
        found = import_mb(statements)
        rows.append((name, "absent" if found is None else f"{found:.1f} MB"))
    alone = import_mb("import asyncio") or 0.0
    for library in BESIDE:
        found = import_mb(f"import asyncio, {library}")
        rows.append((f"asyncio and {library}", "absent" if found is None else f"+{found - alone:.1f} MB"))
    return tables.aligned(("a process that has imported", "RSS"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.footprint")
    parser.add_argument("--short", action="store_true", help="3 s a measurement in the place of 10")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/footprint.md")
    arguments = parser.parse_args()
    raise_open_files()
    seconds = 3.0 if arguments.short else 10.0
    costs_text = f"{cost_table(costs(seconds))}\n\n{tables.machine()}; one run, {seconds:g} s a measurement."
    imports_text = f"{import_table()}\n\n{tables.machine()}."
    print(f"{costs_text}\n\n{imports_text}")
    if arguments.write:
        tables.write("costs", costs_text)
        tables.write("imports", imports_text)


if __name__ == "__main__":
    main()
