"""A rehearsal: simulated providers, the gateway between, a load in front, and the report card of it all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec

from .gateway import Gateway
from .grade import Card, Sample, grade
from .ledger import Record
from .live import Live
from .load import Load, Transcript
from .scenario import Scenario

SAMPLE_S = 0.25


class Run(msgspec.Struct, frozen=True):
    """Everything that a rehearsal left behind, for the report."""

    scenario: Scenario
    groups: Mapping[str, Sequence[str]]
    """Virtual model -> its providers in order of preference."""
    duration: float
    card: Card
    transcripts: list[Transcript]
    records: list[Record]
    samples: list[Sample]


async def rehearse(
    scenario: Scenario,
    groups: Mapping[str, Sequence[str]],
    gateway: Callable[[Mapping[str, str]], Gateway],
    *,
    duration: float,
    rps: float,
    streams: float,
    expectations: Sequence[str],
    progress: Callable[[float, Sequence[Transcript]], None],
) -> Run:
    """Play `scenario` for `duration` seconds. `gateway` is given the providers' base URLs by name; `groups` are the
    virtual models with their providers; `progress` hears of it every second. Raises ConfigError, OSError."""
    live = Live(scenario)
    await live.start()
    front = gateway({name: live.url(name) for name in live.providers})
    samples: list[Sample] = []
    try:
        await front.start()
        start = live.now
        for provider in live.providers.values():
            provider.start = start
        await asyncio.gather(*(live.changed(name) for name in live.providers))

        def clock() -> float:
            return live.now - start

        load = Load(front.base_url, scenario.seed, scenario.upstreams, list(groups), rps, streams, clock)
        watch = asyncio.create_task(_watch(front, clock, samples, load, progress))
        await load.run(duration)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    finally:
        await asyncio.to_thread(front.stop)
        await live.stop()
    records = [record for provider in live.providers.values() for record in provider.ledger.records]
    card = grade(scenario, groups, load.transcripts, records, samples, duration, expectations)
    return Run(scenario, groups, duration, card, load.transcripts, records, samples)


async def _watch(
    front: Gateway,
    clock: Callable[[], float],
    samples: list[Sample],
    load: Load,
    progress: Callable[[float, Sequence[Transcript]], None],
) -> None:
    """Sample the gateway's state, and tell how far the run is."""
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            sample = await front.sample(client, clock())
            if sample is not None:
                samples.append(sample)
            progress(clock(), load.transcripts)
            await asyncio.sleep(SAMPLE_S)
