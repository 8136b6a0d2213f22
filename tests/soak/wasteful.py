"""The gateway, with Python's collector at call (SIGUSR2), and with a planted waste that the limits here must notice.

    --waste nothing       none, to weigh it: what waits for the collector comes and goes, and would hide what stays
    --waste connection    every connection that it accepts keeps 40,000 bytes for as long as it lives
    --waste request       every request that it serves leaves 256 bytes behind for good
    --waste timer         every request that it serves leaves a timer behind

Runs in the place of `python -P -m oxllm.gateway`. The first hangs on asyncio's own transport, so that it does not
depend on how the gateway is built; so it has asyncio serve the sockets.
"""

from __future__ import annotations

import gc
import os
import runpy
import signal
import sys
from asyncio import selector_events
from typing import Any

from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.wheel import Timer, Wheel

CONNECTION = 40_000
REQUEST = 256

Transport: Any = vars(selector_events)["_SelectorTransport"]
_init = Transport.__init__
_request = Journal.request
_made = Wheel.__init__
_kept: list[Any] = []
_wheels: list[tuple[Wheel, Any]] = []


def _wasteful(self: Any, loop: Any, sock: Any, protocol: Any, extra: Any = None, server: Any = None) -> None:
    _init(self, loop, sock, protocol, extra, server)
    if server is not None:
        self.waste = bytearray(CONNECTION)


def _leaking(self: Any, *ended: Any) -> None:
    _request(self, *ended)
    _kept.append(bytes(REQUEST - sys.getsizeof(b"")))


def _forgetting(self: Any, *ended: Any) -> None:
    _request(self, *ended)
    wheel, loop = _wheels[0]
    timer: Timer = wheel.timer(_kept.clear)
    timer.set(loop.time() + 3600)


def _remembering(self: Wheel, loop: Any) -> None:
    _made(self, loop)
    _wheels.append((self, loop))


def plant(waste: str) -> None:
    """Make the gateway waste so. Raises KeyError."""
    if waste == "nothing":
        return
    owner, name, planted = {
        "connection": (Transport, "__init__", _wasteful),
        "request": (Journal, "request", _leaking),
        "timer": (Journal, "request", _forgetting),
    }[waste]
    if owner is Transport:
        os.environ["OXLLM_SOCKETS"] = "asyncio"
    setattr(owner, name, planted)
    setattr(Wheel, "__init__", _remembering)  # noqa: B010  mypy will not have it otherwise


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, lambda *_: gc.collect())
    plant(sys.argv[sys.argv.index("--waste") + 1])
    runpy.run_module("oxllm.gateway", run_name="__main__", alter_sys=True)
