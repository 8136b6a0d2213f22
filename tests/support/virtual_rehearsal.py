"""A rehearsal on the virtual clock: the real gateway, the real simulator and the real report card, without a socket.

What `oxllm sim --rehearse` does in a minute of real time takes half a second here, and is the same each time.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from oxllm.plan import Plan
from oxllm.sim.provider import pace
from oxllm.sim.rehearsal import gateway, grade
from oxllm.sim.rehearsal.answer import Answer
from oxllm.sim.rehearsal.card import Card, Sample
from oxllm.sim.rehearsal.load import PATIENCE_S, Transcript, begun
from oxllm.sim.rehearsal.question import Question, Questions
from oxllm.sim.rehearsal.run import SAMPLE_S, Run
from oxllm.sim.rehearsal.schedule import Schedule
from oxllm.sim.script import presets
from oxllm.sim.script.scenario import Scenario
from tests.support.in_memory import Setup, Visit, Wish, World

PACE = "ttft 50ms lognormal 0.3, itl 5ms bursty 0.5, out 14..30"
"""Like `fast`, but shorter: the middle of an answer tests nothing new, and every token takes time."""

ATTEMPTS = {"mild": 1.1, "rough": 1.3, "hell": 1.8}
"""Preset -> the limit of its attempts per request."""
SEEDS = range(1, 11)


def demands(chaos: str) -> tuple[str, ...]:
    """The demands on a rehearsal under a preset, as `--grade` takes them."""
    none = ("survivable_errors", "truncated", "unfinished", "retry_after_violations", "open_violations")
    return (*(f"{name} == 0" for name in none), f"amplification < {ATTEMPTS[chaos]}")


class Client(Visit):
    """A client of the load, on a connection of its own."""

    def __init__(self, world: World, question: Question, at: float) -> None:
        super().__init__(world, f"question {question.number}", Wish(at=at, stream=question.stream))
        self.question = question
        self.seen: Transcript

    def request(self) -> bytes:
        self.seen = begun(self.question, self.world.loop.time() - self.world.start)
        data = msgspec.json.encode(self.question.body)
        lines = [f"POST /v1{self.question.path} HTTP/1.1", "host: 127.0.0.1:8080", f"content-length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in self.question.headers.items()]
        return "\r\n".join([*lines, "content-type: application/json", "", ""]).encode() + data

    def transcript(self, scenario: Scenario) -> Transcript:
        """What it saw, judged as by the load of a real rehearsal."""
        seen, reader = self.seen, self.reader
        seen.status, seen.provider = reader.status, self.provider
        if self.first_content is not None:
            seen.first = self.first_content - self.world.start
        seen.ended = self.ended - self.world.start if self.ends else None
        if self.ends:
            answer = Answer(self.question.protocol)
            for line in reader.body.decode().splitlines():
                answer.line(line, seen.stream and seen.status == 200)
            if not reader.complete:
                answer.error = answer.error or "cut off"
            answer.end(seen.stream, seen.status)
            seen.verdict, seen.detail = answer.verdict(self.question, scenario.seed, scenario.upstreams)
        return seen


def rehearsed(
    plan: Plan,
    chaos: str,
    seed: int,
    *,
    duration: float,
    rps: float,
    blackout: bool = False,
) -> Run:
    """A whole rehearsal of `plan` under a preset, graded by the preset's demands."""
    routes = gateway.virtual(plan)
    groups = {name: providers for route in routes for name, providers in route.lanes.items()}
    upstreams = gateway.upstreams(plan, pace.parse(PACE))
    patience = plan.breaker.cooldown_max
    played_on = gateway.contested(groups.values())
    scenes = presets.timetable(chaos, seed, played_on, duration, blackout, cooldown_max=patience)
    spoken = {route.name: tuple(route.spoken) for route in routes}
    questions = Questions(seed, {route.name: route.models for route in routes}, 0.8, spoken)
    return played(Scenario(seed, upstreams, scenes, chaos), plan, groups, questions, duration, rps, demands(chaos))


def played(
    scenario: Scenario,
    plan: Plan,
    groups: Mapping[str, Sequence[str]],
    questions: Questions,
    duration: float,
    rps: float,
    expectations: Sequence[str] = (),
    make: Callable[[Setup], World] = World,
    late: Callable[[int], float] = lambda _: 0.0,
) -> Run:
    """The run of a scenario against a plan, or against the gateway of another world that `make` makes. `late`: by how
    many seconds each question is late."""
    urls = {provider.name: f"http://127.0.0.1:{9001 + n}/v1" for n, provider in enumerate(plan.providers)}
    samples: list[Sample] = []
    with make(Setup(gateway.rewired(plan, urls, 8080), seed=scenario.seed, scenario=scenario)) as world:
        schedule = Schedule(rps, scenario.scenes)
        due = {questions[n].asked: schedule.due(n) for n in range(schedule.count(duration))}
        clients = [Client(world, questions[n], schedule.due(n) + late(n)) for n in range(len(due))]
        for provider in world.providers.values():
            provider.due = due.get
        for client in clients:
            world.join(client)
        _watch(world, samples)
        world.run(duration + PATIENCE_S)
        assert not world.errors, world.errors
        transcripts = [client.transcript(scenario) for client in clients]
        records = [record for provider in world.providers.values() for record in provider.ledger.records]
    recorded = grade.Recorded(scenario, groups, duration, transcripts, records, samples, plan)
    return Run(recorded, grade.grade(recorded, expectations))


def _watch(world: World, samples: list[Sample]) -> None:
    """Keep sampling the breakers, as a rehearsal does."""
    now, breakers = world.loop.time(), world.breakers()
    states = {name: state for name, (state, _) in breakers.items()}
    left = {name: seconds for name, (_, seconds) in breakers.items()}
    providers = world.router.providers.items()
    out = frozenset(name for name, one in providers if any(target.skip(now) for target in one.targets.values()))
    samples.append(Sample(now - world.start, states, left, None, out))
    world.loop.call_later(SAMPLE_S, _watch, world, samples)


@functools.cache
def shipped() -> Plan:
    """The plan of the config that `oxllm init` writes."""
    from oxllm.cli.init import STARTER

    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "config.toml")
        file.write_text(STARTER, encoding="utf-8")
        return gateway.compiled(file)[0]


def summary(card: Card) -> str:
    """The text that a failing test should show."""
    return f"seed {card.seed}, {card.amplification} attempts a request\n" + "\n".join(map(str, card.findings))
