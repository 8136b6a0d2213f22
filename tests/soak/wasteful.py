"""The gateway with a planted waste: every connection that it accepts keeps 40,000 bytes for as long as it lives.

Runs in the place of `python -P -m oxllm.gateway`; the limits in `test_memory.py` must notice. The waste hangs on
asyncio's own transport, so that it does not depend on how the gateway is built.
"""

from __future__ import annotations

import runpy
from asyncio import selector_events
from typing import Any

WASTE = 40_000

Transport: Any = vars(selector_events)["_SelectorTransport"]
_init = Transport.__init__


def _wasteful(self: Any, loop: Any, sock: Any, protocol: Any, extra: Any = None, server: Any = None) -> None:
    _init(self, loop, sock, protocol, extra, server)
    if server is not None:
        self.waste = bytearray(WASTE)


if __name__ == "__main__":
    Transport.__init__ = _wasteful
    runpy.run_module("oxllm.gateway", run_name="__main__", alter_sys=True)
