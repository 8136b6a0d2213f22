"""An operator's commands about providers: offline (for how long), online, reset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from oxllm.gateway.observe.log import Log
from oxllm.gateway.runtime import Current

FOR_MAX = 30 * 86400.0
"""Seconds. For longer than that, take the provider out of the config."""


class Overrides:
    """Acts on the providers of the running config."""

    __slots__ = ("_current", "_log", "_loop", "_returns")

    def __init__(self, loop: asyncio.AbstractEventLoop, current: Current, log: Log) -> None:
        self._loop = loop
        self._current = current
        self._log = log
        self._returns: dict[str, asyncio.TimerHandle] = {}
        """Provider -> the timer that brings it back."""

    def offline(self, name: str, seconds: float | None = None) -> bool:
        """Send it no more requests, until `online` or for `seconds`. False: no such provider."""
        if not self._current.generation.router.offline(name):
            return False
        self._forget(name)
        if seconds is not None:
            self._returns[name] = self._loop.call_later(seconds, self._return, name)
        self._log.event("operator", f"{name} offline" if seconds is None else f"{name} offline for {seconds:g} s")
        return True

    def online(self, name: str) -> bool:
        """Undo `offline`. False: no such provider."""
        self._forget(name)
        if not self._current.generation.router.online(name):
            return False
        self._log.event("operator", f"{name} online")
        return True

    def reset(self, name: str) -> bool:
        """Forget its failures and marks. False: no such provider."""
        if not self._current.generation.router.reset(name):
            return False
        self._log.event("operator", f"{name} reset")
        return True

    def left(self, name: str) -> float | None:
        """Seconds until a provider that is offline comes back by itself; None if it does not."""
        handle = self._returns.get(name)
        return None if handle is None else max(0.0, handle.when() - self._loop.time())

    def unserved(self, name: str) -> Sequence[str]:
        """Warnings about the virtual models with a target at this provider that no target serves now, and why."""
        generation, now = self._current.generation, self._loop.time()
        found = []
        for model in generation.plan.virtual_models:
            if not any(target.provider == name for target in model.targets):
                continue
            route = generation.router.resolve(model.name)
            if route is not None and not route.healthy(now):
                skips = [(target.state.name, target.state.skip(now)) for target in route.candidates]
                why = ", ".join(f"{target} {skip.value}" for target, skip in skips if skip is not None)
                found.append(f"no target of {model.name} is left: {why}")
        return found

    def _forget(self, name: str) -> None:
        handle = self._returns.pop(name, None)
        if handle is not None:
            handle.cancel()

    def _return(self, name: str) -> None:
        self._returns.pop(name, None)
        self.online(name)
