"""What a process costs, measured from outside it.

Memory is the resident set (RSS) as `ps` and psutil count it, in MB of 2^20 bytes: the number in the memory
contract, and the one an operator sees. CPU is user plus system time as the kernel accounts it, so a busy
neighbour on a shared machine affects it far less than anything measured on the wall clock.
"""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

MB = 2**20
"""Bytes in what ps users call a megabyte."""

SAMPLE_S = 0.02
"""Time between two samples of a peak. If the kernel has a high-water mark, that covers the gaps."""


def rss_mb(pid: int) -> float:
    """Resident set in MB, as `ps -o rss` has it."""
    return float(psutil.Process(pid).memory_info().rss) / MB


def tree_rss_mb(pid: int) -> float:
    """Resident sets of a process and all its children together, in MB. Shared pages count once for each process."""
    return sum(rss_mb(process) for process in _tree(pid))


def rollup_mb(pid: int) -> dict[str, float]:
    """The kernel's exact page walk (`smaps_rollup`: Rss, Pss, Private_Dirty …) in MB. Empty if the kernel has none.

    `rss_mb` reads counters that a kernel may update in batches; this walks the page tables, which is exact and slow.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return {}
    return {key: int(kilobytes) / 1024 for key, kilobytes in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def cpu_s(pid: int, *, children: bool = False) -> float:
    """User plus system seconds that the process (with `children`: and its living descendants) has used so far."""
    return sum(_own_cpu_s(process) for process in (_tree(pid) if children else [pid]))


def cores() -> tuple[set[int], set[int]]:
    """One core for what is measured, and the rest for load and providers. If there is only one core, the same twice."""
    usable = sorted(psutil.Process().cpu_affinity() or range(os.cpu_count() or 1))
    return {usable[0]}, set(usable[1:]) or {usable[0]}


class Peak:
    """The highest resident set of a process while the block runs, in MB.

        with Peak(pid) as peak: ...
        assert peak.mb < 40

    Takes the higher of its own samples and the kernel's high-water mark, which it resets at the start.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._marks = _reset_high_water(pid)
        self.mb = 0.0
        self.samples = 0

    def __enter__(self) -> Self:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._take()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            self._take()

    def _take(self) -> None:
        try:
            seen = max(rss_mb(self._pid), _high_water_mb(self._pid) if self._marks else 0.0)
        except psutil.NoSuchProcess:
            return
        self.samples += 1
        self.mb = max(self.mb, seen)


def settled_mb(pid: int, under: float, within_s: float) -> tuple[float, float]:
    """Waits until the resident set is under `under` MB. Returns the last figure and the seconds that it took.

    The caller compares: for a process that never settles, this is what it still holds after `within_s`.
    """
    start = time.monotonic()
    while (now := rss_mb(pid)) >= under and time.monotonic() - start < within_s:
        time.sleep(0.25)
    return now, time.monotonic() - start


def _tree(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _own_cpu_s(pid: int) -> float:
    """The process's CPU clock (clock_getcpuclockid(3)), in nanoseconds; psutil's has ticks of 10 ms."""
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def _reset_high_water(pid: int) -> bool:
    """Starts a new high-water mark (proc(5), clear_refs 5). False if that is not allowed: then only samples count."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _high_water_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
