"""The gateway under a sampling profiler; see `profile_gateway`. Runs in the place of `python -m oxllm.gateway`.

Every few milliseconds of CPU time (ITIMER_PROF, whose step is the kernel's tick) the interpreter notes where it is,
between two bytecodes: that hardly slows the gateway, where cProfile taxes each call. Samples count from one SIGUSR2 to
the next, which also writes them as JSON to stderr (SIGUSR1 is the gateway's own). What C code does counts for the
Python line that called it.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import sys
from collections import Counter
from types import FrameType

INTERVAL_S = 0.001

_own: Counter[str] = Counter()
_with_callees: Counter[str] = Counter()
_lines: Counter[str] = Counter()


def _sample(_: int, frame: FrameType | None) -> None:
    if frame is None:
        return
    name = _name(frame)
    _own[name] += 1
    _lines[f"{name}:{frame.f_lineno}"] += 1
    seen = set()
    while frame is not None:
        seen.add(_name(frame))
        frame = frame.f_back
    _with_callees.update(seen)


def _name(frame: FrameType) -> str:
    code = frame.f_code
    place = "/".join(code.co_filename.split(os.sep)[-2:])
    return f"{place}:{getattr(code, 'co_qualname', code.co_name)}"


def _switch(*_: object) -> None:
    if signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0):
        _start()
    else:
        _stop()


def _start() -> None:
    for counter in (_own, _with_callees, _lines):
        counter.clear()
    signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)


def _stop() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0.0)
    found = {"own": _own.most_common(200), "all": _with_callees.most_common(200), "lines": _lines.most_common(200)}
    sys.stderr.write(f"\nsamples {json.dumps(found)}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGPROF, _sample)
    signal.signal(signal.SIGUSR2, _switch)
    runpy.run_module("oxllm.gateway", run_name="__main__", alter_sys=True)
