"""The meter is only worth something if it sees what is there: planted memory, planted work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.meter import MB, Peak, cpu_s, rollup_mb, rss_mb, settled_mb

CODE = """
import sys, time
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Child:
    """An interpreter that does one line at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def do(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def child() -> Iterator[Child]:
    command = [sys.executable, "-c", CODE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Child(process)
        process.kill()


def test_twenty_mb_more_are_seen_as_twenty_mb_more() -> None:
    with child() as process:
        process.do("pass")
        before = rss_mb(process.pid)
        process.do(f"kept = b'x' * {20 * MB}")
        assert rss_mb(process.pid) - before == pytest.approx(20, abs=1)


def test_the_kernels_page_walk_agrees_with_ps() -> None:
    with child() as process:
        process.do("pass")
        exact = rollup_mb(process.pid)
        if not exact:
            pytest.skip("no smaps_rollup here")
        assert exact["Rss"] == pytest.approx(rss_mb(process.pid), abs=1)


def test_a_peak_between_two_samples_is_not_missed() -> None:
    with child() as process:
        process.do("pass")
        before = rss_mb(process.pid)
        with Peak(process.pid) as peak:
            process.do(f"b'x' * {30 * MB}")
        assert peak.mb - before == pytest.approx(30, abs=2)
        assert rss_mb(process.pid) - before < 5


def test_a_peak_before_the_block_does_not_count() -> None:
    with child() as process:
        process.do(f"b'x' * {30 * MB}")
        with Peak(process.pid) as peak:
            process.do("pass")
        assert peak.mb < rss_mb(process.pid) + 5


def test_work_costs_cpu_and_waiting_does_not() -> None:
    with child() as process:
        process.do("pass")
        start = cpu_s(process.pid)
        process.do("sum(range(10_000_000))")
        worked = cpu_s(process.pid) - start
        process.do("time.sleep(0.2)")
        waited = cpu_s(process.pid) - start - worked
        assert waited < worked / 2


def test_what_never_settles_is_given_up_with_its_last_figure() -> None:
    with child() as process:
        process.do("pass")
        now, took_s = settled_mb(process.pid, under=1.0, within_s=0.3)
        assert now > 1.0
        assert took_s >= 0.3


def test_what_is_small_enough_has_settled_at_once() -> None:
    with child() as process:
        process.do("pass")
        assert settled_mb(process.pid, under=1000.0, within_s=60.0)[1] < 30
