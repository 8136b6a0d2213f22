"""asyncio's loop on top of the reactor: timers, tasks, signals, children and DNS stay asyncio's. Linux only."""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable
from typing import Any

from oxllm.gateway.reactor.reactor import Reactor


class _Selector(selectors.EpollSelector):
    """asyncio's selector: it waits for asyncio's own files, and lets the reactor serve its sockets meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.reactor = Reactor(self.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.reactor.serve(None if timeout is None else max(timeout, 0.0)):
            return super().select(0)
        return []

    def close(self) -> None:
        self.reactor.close()
        super().close()


class Loop(asyncio.SelectorEventLoop):
    """Interrupts the reactor whenever asyncio is given something to do."""

    def __init__(self) -> None:
        selector = _Selector()
        self.reactor = selector.reactor
        self.reactor.loop = self
        super().__init__(selector)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        self.reactor.interrupted = True
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        self.reactor.interrupted = True
        return super().call_at(when, callback, *args, context=context)

    def stop(self) -> None:
        self.reactor.interrupted = True
        super().stop()
