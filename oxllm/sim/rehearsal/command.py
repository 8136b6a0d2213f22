"""`oxllm sim --rehearse CONFIG`: prepares a run from what was asked, plays it, and returns what to report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import click
import msgspec

from oxllm.plan import Plan
from oxllm.sim.rehearsal import advice as advices
from oxllm.sim.rehearsal import gateway, waits
from oxllm.sim.rehearsal.advice import Advice
from oxllm.sim.rehearsal.external import External
from oxllm.sim.rehearsal.gateway import ConfigError, Gateway
from oxllm.sim.rehearsal.likeness import fates
from oxllm.sim.rehearsal.load import Load
from oxllm.sim.rehearsal.prepare import Prepared, lanes, prepare, questions
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.report import Told
from oxllm.sim.rehearsal.request import Request
from oxllm.sim.rehearsal.run import Front, Run, Setup, rehearse
from oxllm.sim.script import show
from oxllm.sim.serve.engine import attempt_key
from oxllm.sim.serve.ports import free_port
from oxllm.words import count


def timetable(asked: Request) -> str:
    """The faults that a rehearsal would play. Nothing is run."""
    scenario = prepare(asked).scenario
    return "\n".join([f"seed {scenario.seed}", *show.timetable(scenario, asked.duration)])


def fate(asked: Request, provider: str, key: str) -> str:
    """What one request of a rehearsal gets, and why. `key`: as in the ledger, or the number of a client's question."""
    prepared = prepare(asked)
    scenario = prepared.scenario
    names = [upstream.name for upstream in scenario.upstreams]
    if provider not in names:
        raise click.UsageError(f"unknown provider {provider!r}; there are {', '.join(names)}")
    if key.isdecimal():
        key = attempt_key(questions(asked, prepared)[int(key)].asked, 1)
    return "\n".join(show.fate(scenario, provider, key, asked.duration))


class Rehearsed(msgspec.Struct, frozen=True):
    """The outcome of a rehearsal."""

    run: Run
    rules: tuple[str, ...]
    """The rules to be kept."""
    replay: Replay
    """How to repeat it."""
    heeded: Told | None = None
    """The second run, with the advice applied, if there was one."""

    @property
    def told(self) -> Told:
        return Told(self.run.card, self.replay.run, fates(self.run.recorded.records))


def rehearsal(asked: Request, to_stderr: bool) -> Rehearsed:
    """Rehearse. `to_stderr`: print the seed there."""
    prepared = prepare(asked)
    click.echo(f"seed {prepared.scenario.seed}", err=to_stderr)
    for note in _notes(asked, prepared):
        click.echo(f"note: {note}", err=True)
    run, given = play(asked, prepared), list[Advice]()
    if asked.against is None:
        run, given = _advised(run, prepared.plan)
    replay = asked.replay(prepared.scenario.seed)
    heeded = _once_more(asked, prepared, given, replay) if asked.try_advice else None
    return Rehearsed(run, prepared.expectations, replay, heeded)


def _once_more(asked: Request, prepared: Prepared, given: Sequence[Advice], replay: Replay) -> Told | None:
    """The same with the advice applied; None if none of it can be."""
    if not any(advice.change for advice in given):
        click.echo("note: nothing is advised that could be tried", err=True)
        return None
    click.echo("once more, with what is advised:", err=True)
    better = msgspec.structs.replace(prepared, plan=advices.applied(prepared.plan, given))
    again, _ = _advised(play(asked, better), better.plan)
    return Told(again.card, replay.run, fates(again.recorded.records))


def play(asked: Request, prepared: Prepared, quietly: bool = False) -> Run:
    """Play one run. Errors become messages for the user. `quietly`: without progress."""
    try:
        return asyncio.run(_run(asked, prepared, quietly))
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from None
    except asyncio.CancelledError:
        raise click.Abort from None


def _advised(run: Run, plan: Plan) -> tuple[Run, list[Advice]]:
    """The run with advice on its card, and the advice."""
    given = advices.advise(plan, run.card, waits.found(run.recorded))
    card = msgspec.structs.replace(run.card, advice=tuple(advice.text for advice in given))
    return msgspec.structs.replace(run, card=card), given


def _notes(asked: Request, prepared: Prepared) -> Iterable[str]:
    """Notes about what might surprise the user."""
    if prepared.missing:
        yield f"{', '.join(prepared.missing)} not set; a rehearsal sends no key, so {gateway.STAND_IN!r} stands in"
    alone = [route for route in prepared.routes if len(route.providers) == 1]
    if asked.scene is None and asked.exhibit is None and not asked.blackout and alone and "/" not in alone[0].name:
        names = ", ".join(route.name for route in alone)
        yield f"{names}: one provider, so that nothing could save its requests and this tests nothing; add a second"


async def _run(asked: Request, prepared: Prepared, quietly: bool) -> Run:
    plan, scenario = prepared.plan, prepared.scenario
    told = ""

    def front(urls: Mapping[str, str]) -> Front:
        nonlocal told
        if asked.against is not None:
            external = External(asked.against, urls)
            told = external.told
            return external
        return Gateway.of(gateway.rewired(plan, urls, free_port()))

    names = [upstream.name for upstream in scenario.upstreams]
    setup = Setup(
        scenario=scenario,
        plan=plan,
        groups=lanes(prepared.routes),
        questions=questions(asked, prepared),
        duration=asked.duration,
        rps=asked.rps,
        headers=asked.sent,
        ports={name: asked.port + place for place, name in enumerate(names)} if asked.port else None,
        expectations=prepared.expectations,
    )
    run = await rehearse(setup, front, _silence if quietly else _Progress(asked.duration))
    if told and run.card.requests and not run.card.attempts:
        click.echo(f"note: your gateway has asked neither of {told}; point it at them", err=True)
    return run


def _silence(_at: float, _load: Load) -> None:
    """Say nothing."""


class _Progress:
    """Prints progress to standard error at once and every five seconds, and a line when the run is being ended."""

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._next = 0.0
        self._ending = False

    def __call__(self, at: float, load: Load) -> None:
        under_way = sum(seen.ended is None for seen in load.transcripts)
        if load.ending and not self._ending:
            self._ending = True
            click.echo(
                f"ending: {count(under_way, 'request')} under way; Ctrl-C once more does not wait for them", err=True
            )
        if at < self._next:
            return
        self._next += 5.0
        whole = sum(seen.verdict == "whole" for seen in load.transcripts)
        wrong = sum(seen.verdict in ("refused", "broken", "truncated") for seen in load.transcripts)
        told = f"{len(load.transcripts)} requests, {whole} whole, {wrong} failed, {under_way} under way"
        click.echo(f"{at:4.0f} of {self._duration:g} s: {told}", err=True)
