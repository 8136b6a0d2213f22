"""A rehearsal: simulated providers, the gateway in front of them, a load, and the report card."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import httpx
import msgspec

from oxllm.plan import Plan
from oxllm.sim.rehearsal.card import Card, Sample
from oxllm.sim.rehearsal.grade import Recorded, grade
from oxllm.sim.rehearsal.load import Load
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.schedule import Schedule
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.live import Live

SAMPLE_S = 0.25


class Front(Protocol):
    """The gateway under test."""

    base_url: str

    async def start(self) -> None:
        """Start, and return once it answers. Raises ConfigError."""

    async def sample(self, client: httpx.AsyncClient, at: float) -> Sample | None:
        """Its state now, or None if it does not say."""

    async def explain(self, client: httpx.AsyncClient, request_id: str) -> str:
        """What it says about a request, "" if nothing."""

    def stop(self) -> None:
        """The run is over."""


class Run(msgspec.Struct, frozen=True):
    """A rehearsal that is over, for the report."""

    recorded: Recorded
    card: Card


async def rehearse(
    scenario: Scenario,
    groups: Mapping[str, Sequence[str]],
    gateway: Callable[[Mapping[str, str]], Front],
    questions: Questions,
    *,
    duration: float,
    rps: float,
    expectations: Sequence[str],
    progress: Callable[[float, Load], None],
    plan: Plan,
    ports: Mapping[str, int] | None = None,
    headers: Mapping[str, str] = {},
) -> Run:
    """Play `scenario` for `duration` seconds, and then until every client has its answer. `gateway` gets the providers'
    base URLs by name; `groups` are the names in `questions` with their providers; `progress` is called four times a
    second; `plan` is the gateway's, for the grade; `ports` are the providers', and `headers` the clients'. SIGINT,
    SIGTERM or SIGHUP ends it earlier: the first one stops new requests, the second also stops waiting for those under
    way. Raises ConfigError, OSError, and CancelledError if a signal arrives before the load starts."""
    live = Live(scenario, ports=ports)
    samples: list[Sample] = []
    front: Front | None = None
    load: Load | None = None
    task = asyncio.current_task()
    assert task is not None, "it is awaited"
    with _on_signals(lambda: load.end() if load is not None else task.cancel()):
        try:
            await live.start()
            front = gateway({name: live.url(name) for name in live.providers})
            await front.start()
            start = live.now
            for provider in live.providers.values():
                provider.start = start
            await asyncio.gather(*(live.changed(name) for name in live.providers))

            def clock() -> float:
                return live.now - start

            schedule = Schedule(rps, scenario.scenes)
            load = Load(
                front.base_url, scenario.seed, scenario.upstreams, questions, schedule, clock, headers, front.explain
            )
            for provider in live.providers.values():
                provider.due = load.due.get
            watch = asyncio.create_task(_watch(front, clock, samples, load, progress))
            await load.run(duration)
            interrupted, duration = load.ending, min(duration, clock())
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch
        finally:
            if front is not None:
                await asyncio.to_thread(front.stop)
            await live.stop()
    records = [record for provider in live.providers.values() for record in provider.ledger.records]
    recorded = Recorded(scenario, groups, duration, load.transcripts, records, samples, plan, interrupted)
    return Run(recorded, grade(recorded, expectations))


@contextlib.contextmanager
def _on_signals(act: Callable[[], object]) -> Iterator[None]:
    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, act)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _watch(
    front: Front,
    clock: Callable[[], float],
    samples: list[Sample],
    load: Load,
    progress: Callable[[float, Load], None],
) -> None:
    """Sample the gateway's state, and report progress."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            sample = await front.sample(client, clock())
            if sample is not None:
                samples.append(sample)
            progress(clock(), load)
            await asyncio.sleep(SAMPLE_S)
