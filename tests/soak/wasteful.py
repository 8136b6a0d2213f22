"""The gateway, with Python's collector at call (SIGUSR2), and with a planted waste that the limits here must notice.

    --waste nothing       none, to weigh it: what waits for the collector comes and goes, and would hide what stays
    --waste connection    every connection that it accepts keeps 40,000 bytes for as long as it lives
    --waste request       every request that it serves leaves 256 bytes behind for good
    --waste timer         every request that it serves leaves a timer behind

Runs in the place of `python -P -m oxllm.gateway`. The first hangs on asyncio's own transport, so that it does not
depend on how the gateway is built.
"""

from __future__ import annotations

import gc
import runpy
import signal
import sys
from asyncio import selector_events
from typing import Any

from oxllm.gateway.runtime import Runtime

CONNECTION = 40_000
REQUEST = 256

Transport: Any = vars(selector_events)["_SelectorTransport"]
_init = Transport.__init__
_observe = Runtime.observe
_kept: list[Any] = []


def _wasteful(self: Any, loop: Any, sock: Any, protocol: Any, extra: Any = None, server: Any = None) -> None:
    _init(self, loop, sock, protocol, extra, server)
    if server is not None:
        self.waste = bytearray(CONNECTION)


def _leaking(self: Any, relay: Any) -> None:
    _observe(self, relay)
    _kept.append(bytes(REQUEST - sys.getsizeof(b"")))


def _forgetting(self: Any, relay: Any) -> None:
    _observe(self, relay)
    self.wheel.timer(int).set(self.now() + 3600)


def plant(waste: str) -> None:
    """Make the gateway waste so. Raises KeyError."""
    if waste == "nothing":
        return
    owner, name, planted = {
        "connection": (Transport, "__init__", _wasteful),
        "request": (Runtime, "observe", _leaking),
        "timer": (Runtime, "observe", _forgetting),
    }[waste]
    setattr(owner, name, planted)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, lambda *_: gc.collect())
    plant(sys.argv[sys.argv.index("--waste") + 1])
    runpy.run_module("oxllm.gateway", run_name="__main__", alter_sys=True)
