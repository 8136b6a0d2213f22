"""The measurements that benchmarks share. Costs are CPU time of the proxy's process, so a noisy machine matters little.

The proxy has one core to itself, load driver and provider have the others. A window of measuring starts and ends
with a mark of the load driver, next to which the proxy's CPU clock is read.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from tests.support import load
from tests.support.load import Driver, Job, Seen
from tests.support.meter import Peak, cores, cpu_s, tree_rss_mb

WARM_UP_S = 1.0


class Proxy(NamedTuple):
    """Something that listens on a loopback port and forwards to the fake provider."""

    pid: int
    port: int
    exact: bool = True
    """Answers come through byte for byte. A gateway that writes them anew is checked for wholeness only."""


class Window(NamedTuple):
    """What happened between two marks."""

    seconds: float
    cpu_s: float
    done: int
    events: int
    last: Seen


class Failed(RuntimeError):
    """The proxy did not do what was asked of it, so its figures would mean nothing."""


def small_requests(proxy: Proxy, directory: Path, seconds: float, connections: int = 16) -> Window:
    """Plain chat requests of 400 bytes, answers of about 600, on keep-alive connections, as fast as they go."""
    job = Job(kind="requests", port=proxy.port, count=connections, exact=proxy.exact, within_s=seconds + WARM_UP_S + 60)
    with load.running(job, directory, cpus=cores()[1]) as driver:
        return checked(measured(proxy, driver, seconds))


def stream_events(proxy: Proxy, directory: Path, seconds: float, streams: int = 200, per_s: float = 20.0) -> Window:
    """So many streams side by side, each of so many events a second; neither their start nor their end is in it."""
    ramp_s = streams / 200
    events = int((ramp_s + WARM_UP_S + seconds + 1.5) * per_s)
    job = Job(
        kind="streams",
        port=proxy.port,
        count=streams,
        events=events,
        every_s=1 / per_s,
        ramp_s=ramp_s,
        exact=proxy.exact,
        within_s=seconds + 120,
    )
    with load.running(job, directory, cpus=cores()[1]) as driver:
        driver.wait_for(lambda seen: seen.open == streams)
        window = measured(proxy, driver, seconds)
        checked(window._replace(last=driver.finish()))
    return window


def memory_at_streams(proxy: Proxy, directory: Path, streams: int, hold_s: float) -> tuple[float, Seen]:
    """The most MB that the proxy and its children had while so many streams of 2 events a second were open.

    The bodies have 4 KB. A proxy of one process is sampled throughout; a tree of processes when all streams are open.
    """
    ramp_s = streams / 400
    job = Job(
        kind="streams",
        port=proxy.port,
        count=streams,
        size=4096,
        events=int((ramp_s + hold_s) / 0.5),
        ramp_s=ramp_s,
        exact=proxy.exact,
        within_s=hold_s + 120,
    )
    with Peak(proxy.pid) as peak, load.running(job, directory, cpus=cores()[1]) as driver:
        driver.wait_for(lambda seen: seen.open == streams, within_s=ramp_s + hold_s)
        together = tree_rss_mb(proxy.pid)
        seen = driver.finish()
    return max(peak.mb, together), seen


def checked(window: Window) -> Window:
    """The window, if nothing failed in it. Raises Failed."""
    if window.last.failed or not (window.done or window.events):
        raise Failed(f"{window.done} answers, {window.events} events, failures: {window.last.failed}")
    return window


def measured(proxy: Proxy, driver: Driver, seconds: float) -> Window:
    """A window of so many seconds, after a moment to warm up."""
    time.sleep(WARM_UP_S)
    cpu, first = cpu_s(proxy.pid, children=True), driver.mark()
    time.sleep(seconds)
    used, last = cpu_s(proxy.pid, children=True) - cpu, driver.mark()
    return Window(last.clock - first.clock, used, last.done - first.done, last.events - first.events, last)
