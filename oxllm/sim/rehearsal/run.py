"""A rehearsal: simulated providers, the gateway in front of them, a load, and the report card."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
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


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What is played, and by which rules it is graded."""

    scenario: Scenario
    plan: Plan
    """The gateway's, for the grade."""
    groups: Mapping[str, Sequence[str]]
    """The names in `questions` -> their providers."""
    questions: Questions
    duration: float
    """Seconds in which clients ask."""
    rps: float
    headers: Mapping[str, str] = {}
    """The clients'."""
    ports: Mapping[str, int] | None = None
    """The providers'; None = any."""
    expectations: Sequence[str]


class Run(msgspec.Struct, frozen=True):
    """A rehearsal that is over, for the report."""

    recorded: Recorded
    card: Card


Progress = Callable[[float, Load], None]
"""Called four times a second with the time of the run."""


async def rehearse(setup: Setup, gateway: Callable[[Mapping[str, str]], Front], progress: Progress) -> Run:
    """Play `setup.scenario` for the duration, and then until every client has its answer. `gateway` gets the providers'
    base URLs by name. SIGINT, SIGTERM or SIGHUP ends it earlier: the first one stops new requests, the second also
    stops waiting for those under way. Raises ConfigError, OSError, and CancelledError if a signal arrives before the
    load starts."""
    scenario = setup.scenario
    live = Live(scenario, ports=setup.ports)
    front: Front | None = None
    load: Load | None = None
    task = asyncio.current_task()
    assert task is not None, "it is awaited"
    with _on_signals(lambda: load.end() if load is not None else task.cancel()):
        try:
            await live.start()
            front = gateway({name: live.url(name) for name in live.providers})
            await front.start()
            clock = await _started(live)
            schedule = Schedule(setup.rps, scenario.scenes)
            load = Load(
                front.base_url, scenario.seed, scenario.upstreams, setup.questions, schedule, clock, setup.headers,
                front.explain,
            )  # fmt: skip
            for provider in live.providers.values():
                provider.due = load.due.get
            async with _sampled(front, clock, load, progress) as samples:
                await load.run(setup.duration)
                lasted, interrupted = min(setup.duration, clock()), load.ending
        finally:
            if front is not None:
                await asyncio.to_thread(front.stop)
            await live.stop()
    records = [record for provider in live.providers.values() for record in provider.ledger.records]
    recorded = Recorded(scenario, setup.groups, lasted, load.transcripts, records, samples, setup.plan, interrupted)
    return Run(recorded, grade(recorded, setup.expectations))


async def _started(live: Live) -> Callable[[], float]:
    """Have the providers' scenes begin now. Returns the clock of the run."""
    start = live.now
    for provider in live.providers.values():
        provider.start = start
    await asyncio.gather(*(live.changed(name) for name in live.providers))
    return lambda: live.now - start


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


@contextlib.asynccontextmanager
async def _sampled(
    front: Front, clock: Callable[[], float], load: Load, progress: Progress
) -> AsyncIterator[list[Sample]]:
    """Meanwhile, sample the gateway's state and report progress."""
    samples: list[Sample] = []

    async def watch() -> None:
        async with httpx.AsyncClient(trust_env=False) as client:
            while True:
                sample = await front.sample(client, clock())
                if sample is not None:
                    samples.append(sample)
                progress(clock(), load)
                await asyncio.sleep(SAMPLE_S)

    watching = asyncio.create_task(watch())
    try:
        yield samples
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
