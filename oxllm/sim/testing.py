"""Simulated providers for tests.

    with Sim("alpha", "beta", faults={"alpha": ["429 x2"]}) as sim:
        ... sim.url("alpha"), sim.patch("beta", ["refuse"]), sim.ledger("alpha") ...

`Sim` runs real sockets in a thread, so it serves blocking and async tests alike. `play` needs no sockets: it plays one
answer on a virtual clock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Self, TypeVar

import msgspec

from oxllm.sim.provider import limits, pace
from oxllm.sim.provider.ledger import Record
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.provider.steps import Send, Step, Wait
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario, Scene
from oxllm.sim.serve.engine import Provider, Script
from oxllm.sim.serve.live import Control, Live
from oxllm.sim.serve.ports import State
from oxllm.sim.serve.tls import Authority

T = TypeVar("T")


def scenario(
    *upstreams: str | Upstream,
    faults: Mapping[str, Iterable[str]] | None = None,
    scenes: Sequence[Scene] = (),
    seed: int = 7,
    pace: str = "instant",
) -> Scenario:
    """A scenario of providers with `faults`, in the fault grammar, that always play."""
    named = tuple(_upstream(upstream, pace) for upstream in upstreams or ("alpha", "beta"))
    standing = tuple(
        Scene(f"always on {name}", (name,), tuple(grammar.parse(text) for text in texts))
        for name, texts in (faults or {}).items()
    )
    return Scenario(seed, named, (*standing, *scenes))


def _upstream(upstream: str | Upstream, pace_text: str) -> Upstream:
    return Upstream(upstream, pace=pace.parse(pace_text)) if isinstance(upstream, str) else upstream


def play(script: Script, until: float = FOREVER) -> tuple[bytes, list[tuple[float, Step]]]:
    """All bytes of a script, and each step with the virtual time at which it is taken. Stops at the first wait that
    ends after `until`."""
    now, sent, taken = 0.0, b"", []
    for step in script:
        if isinstance(step, Wait):
            now = max(now, step.until)
            if now > until:
                break
        if isinstance(step, Send):
            sent += step.data
        taken.append((now, step))
    return sent, taken


class Sim:
    """Live providers in their own thread. Arguments as for `scenario`; `tls` creates a CA, whose path is `ca`."""

    def __init__(
        self,
        *upstreams: str | Upstream,
        faults: Mapping[str, Iterable[str]] | None = None,
        scenes: Sequence[Scene] = (),
        seed: int = 7,
        pace: str = "instant",
        host: str = "127.0.0.1",
        tls: bool = False,
        control: Control | None = None,
        before: str | None = None,
    ) -> None:
        """`before`: the base URL of a real provider, in front of which the only simulated one, `real`, is put."""
        self._before = before
        self._scenario = scenario(*upstreams, faults=faults, scenes=scenes, seed=seed, pace=pace)
        self._host = host
        self._authority = Authority(host) if tls else None
        self._control = control
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread
        self._running: Live | None = None

    @property
    def _live(self) -> Live:
        if self._running is None:
            raise RuntimeError("it is not running; write `with` before it")
        return self._running

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="oxllm-sim", daemon=True)
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._live.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, name: str) -> str:
        """Base URL with `/v1`."""
        return self._live.url(name)

    def provider(self, name: str) -> Provider:
        """The provider itself. What is set on it before a request arrives applies to that request."""
        return self._live.providers[name]

    def port(self, name: str) -> int:
        return self._live.ports[name].number

    @property
    def ca(self) -> str | None:
        """Path of the CA certificate, if `tls`."""
        return str(self._authority.path) if self._authority is not None else None

    def ledger(self, name: str) -> list[Record]:
        """A copy of all records of a provider so far."""
        return self._call(lambda: msgspec.convert(msgspec.to_builtins(self._records(name)), list[Record]))

    def connections(self, name: str) -> int:
        """Number of connections accepted so far."""
        return self._call(lambda: self._live.providers[name].ledger.connections)

    def state(self, name: str) -> State:
        return self._live.ports[name].state

    def patch(
        self,
        name: str,
        faults: Iterable[str] | None = None,
        *,
        pace_text: str | None = None,
        limit: str | None = None,
        ttl: float = FOREVER,
    ) -> None:
        """As the control API's PATCH: faults instead of all scenes (`[]` = healthy), another pace or limit."""
        dosed = None if faults is None else [grammar.parse(text) for text in faults]
        speed = None if pace_text is None else pace.parse(pace_text)
        allowed = None if limit is None else limits.parse(limit)

        async def patched() -> None:
            self._live.providers[name].patch(self._live.now, dosed, speed, allowed, ttl)
            await self._live.changed(name)

        self._run(patched())

    def gate(self, name: str) -> int:
        """Open a gate; returns how many were waiting at it."""
        return self._call(lambda: self._live.gates.open(name))

    async def _start(self) -> None:
        self._running = Live(self._scenario, self._host, None, self._authority, self._control, self._before)
        await self._running.start()

    def _records(self, name: str) -> list[Record]:
        return list(self._live.providers[name].ledger.records)

    def _call(self, function: Callable[[], T]) -> T:
        async def called() -> T:
            return function()

        return self._run(called())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=30)
