"""`oxllm sim --rehearse CONFIG`: prepares a run from what was asked, plays it, and returns what to report."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click
import msgspec

from oxllm.plan import Plan, Provider, Target, VirtualModel
from oxllm.sim.faults.base import Layer
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import advice as advices
from oxllm.sim.rehearsal import expect, gateway, waits
from oxllm.sim.rehearsal.advice import Advice
from oxllm.sim.rehearsal.external import External
from oxllm.sim.rehearsal.gateway import ConfigError, Gateway, Route
from oxllm.sim.rehearsal.likeness import fates
from oxllm.sim.rehearsal.load import Load
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.report import Told
from oxllm.sim.rehearsal.run import Front, Run, rehearse
from oxllm.sim.script import exhibits, grammar, presets, scenes, show
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.engine import attempt_key
from oxllm.sim.serve.ports import free_port
from oxllm.words import count


class Request(msgspec.Struct, frozen=True):
    """What the command line asked for."""

    config: Path | None
    chaos: str
    scene: Path | None
    exhibit: str | None
    blackout: bool
    seed: int
    chosen: bool
    """The seed was given, so it takes precedence over that of a scene file."""
    duration: float
    rps: float
    streams: float
    pace: str
    grade: tuple[str, ...]
    models: tuple[str, ...] = ()
    """The names that clients ask for; empty = every virtual model, or if there are none every `provider/model`."""
    against: str | None = None
    """Base URL of a gateway that is not ours, instead of a config."""
    key: str | None = None
    port: int = 0
    """Port of the first provider; 0 = any."""
    try_advice: bool = False
    """Play it again with the card's advice applied."""
    headers: tuple[str, ...] = ()
    """`NAME: VALUE`, for every request to a gateway that is not ours."""

    @property
    def sent(self) -> dict[str, str]:
        """Headers for every request of the load."""
        keyed = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        pairs = (header.partition(":") for header in self.headers)
        return {**keyed, **{name: value.strip() for name, _, value in pairs}}

    def replay(self, seed: int) -> Replay:
        """The commands that repeat the run, which had this seed."""
        chaos = ("--chaos", self.chaos, *(["--blackout"] if self.blackout else []))
        played = ("--exhibit", self.exhibit) if self.exhibit is not None else chaos
        play = played if self.scene is None else ("--scene", str(self.scene))
        load = ("--rps", f"{self.rps:g}", "--streams", f"{self.streams * 100:g}", "--pace", self.pace)
        further = [*(("--model", name) for name in self.models), *(("--grade", rule) for rule in self.grade)]
        further += (("--header", header) for header in self.headers)
        rest = ("--seed", str(seed), *load, *(word for pair in further for word in pair))
        what, option = (self.config, "--rehearse") if self.against is None else (self.against, "--against")
        return Replay(str(what), (*play, "--for", f"{self.duration:g}s"), rest, option)


class Prepared(msgspec.Struct, frozen=True):
    """What was asked for, parsed and checked."""

    plan: Plan
    missing: tuple[str, ...]
    """Unset environment variables that got a stand-in."""
    scenario: Scenario
    routes: tuple[Route, ...]
    expectations: tuple[str, ...]


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


def questions(asked: Request, prepared: Prepared) -> Questions:
    """What the clients ask."""
    models = {route.name: route.models for route in prepared.routes}
    spoken = {route.name: tuple(route.spoken) for route in prepared.routes}
    return Questions(prepared.scenario.seed, models, asked.streams, spoken)


def _lanes(routes: Iterable[Route]) -> dict[str, tuple[str, ...]]:
    """Name asked for, in each protocol -> the providers behind it."""
    return {name: providers for route in routes for name, providers in route.lanes.items()}


def prepare(asked: Request) -> Prepared:
    """Config, scenario, names and expectations, or a usage error."""
    try:
        plan, missing = (Plan(), []) if asked.config is None else gateway.compiled(asked.config)
        if asked.config is None:
            plan = _pointed(asked)
        routes = _routes(asked, plan)
        scenario = _scenario(asked, plan)
        return Prepared(plan, tuple(missing), scenario, routes, _expectations(asked, scenario))
    except (ConfigError, scenes.SceneError, pace.BadPace) as error:
        raise click.UsageError(str(error)) from None


def _pointed(asked: Request) -> Plan:
    """An assumed plan for a gateway that is not ours: each model fails over from the first provider of the scenes (else
    `alpha`) to the last (else `beta`)."""
    named = () if asked.scene is None else scenes.load(scenes.read(asked.scene), asked.seed, file=asked.scene).upstreams
    names = tuple(upstream.name for upstream in named) or ("alpha", "beta")
    providers = tuple(Provider(name=name, tls=False, host="127.0.0.1", port=0, path="/v1") for name in names)
    targets = tuple(Target(name, "sim-1", tier) for tier, name in enumerate(names, 1))
    chats = tuple(msgspec.structs.replace(provider, protocols=("chat",)) for provider in providers)
    return Plan(providers=chats, virtual_models=tuple(VirtualModel(name, targets) for name in asked.models))


def _routes(asked: Request, plan: Plan) -> tuple[Route, ...]:
    """What clients ask for. Raises ConfigError."""
    virtual, direct = gateway.virtual(plan), gateway.direct(plan)
    known = {route.name: route for route in (*virtual, *direct) if route.lanes}
    if not known:
        raise ConfigError(f"{asked.config}: no model that an enabled provider serves; add one under [virtual_models]")
    for name in asked.models:
        if name not in known:
            hint = grammar.meant(name, known) or f"there are {', '.join(known)}"
            raise ConfigError(f"--model {name!r}: nothing in {asked.config} serves it; {hint}")
    return tuple(known[name] for name in dict.fromkeys(asked.models)) or tuple(
        route for route in virtual or direct if route.lanes
    )


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
    heeded = None
    if asked.try_advice and not any(advice.change for advice in given):
        click.echo("note: nothing is advised that could be tried", err=True)
    elif asked.try_advice:
        click.echo("once more, with what is advised:", err=True)
        better = msgspec.structs.replace(prepared, plan=advices.applied(prepared.plan, given))
        again, _ = _advised(play(asked, better), better.plan)
        heeded = Told(again.card, replay.run, fates(again.recorded.records))
    return Rehearsed(run, prepared.expectations, replay, heeded)


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
    run = await rehearse(
        scenario,
        _lanes(prepared.routes),
        front,
        questions(asked, prepared),
        duration=asked.duration,
        rps=asked.rps,
        expectations=prepared.expectations,
        progress=_silence if quietly else _Progress(asked.duration),
        plan=plan,
        ports={name: asked.port + place for place, name in enumerate(names)} if asked.port else None,
        headers=asked.sent,
    )
    if told and run.card.requests and not run.card.attempts:
        click.echo(f"note: your gateway has asked neither of {told}; point it at them", err=True)
    return run


def _scenario(asked: Request, plan: Plan) -> Scenario:
    """Chaos or an exhibit at the config's providers, or the scenes of a file. Raises BadPace, SceneError."""
    upstreams = gateway.upstreams(plan, pace.parse(asked.pace))
    if asked.scene is not None:
        return _speakable(scenes.over(upstreams, scenes.read(asked.scene), asked.seed, asked.chosen, asked.scene))
    if asked.exhibit is not None:
        return _exhibited(asked, asked.exhibit, upstreams, _lanes(_routes(asked, plan)))
    groups = gateway.contested(_lanes(gateway.virtual(plan)).values())
    names = [upstream.name for upstream in upstreams]
    patience = plan.breaker.cooldown_max
    table = presets.timetable(asked.chaos, asked.seed, groups, asked.duration, asked.blackout, names, patience)
    return Scenario(asked.seed, upstreams, table, asked.chaos)


def _speakable(scenario: Scenario) -> Scenario:
    """The scenario, if none of its faults needs TLS. Raises SceneError."""
    why = "needs TLS, which no rehearsal speaks; play it with oxllm sim --tls"
    errors = [
        f"scene {scene.name!r}: {dosed.fault.kind!r} {why}"
        for scene in scenario.scenes
        for dosed in scene.faults
        if dosed.fault.strikes_at() is Layer.HANDSHAKE
    ]
    if errors:
        raise scenes.SceneError(errors)
    return scenario


def _exhibited(
    asked: Request, exhibit: str, upstreams: Sequence[Upstream], lanes: Mapping[str, Sequence[str]]
) -> Scenario:
    """A real incident at the preferred provider of the first model that has several; it gets the incident's dialect."""
    several = [providers for providers in lanes.values() if len(providers) > 1]
    victim = (several or list(lanes.values()))[0][0]
    dialect = exhibits.EXHIBITS[exhibit].dialect
    cast = tuple(
        msgspec.structs.replace(upstream, dialect=dialect) if upstream.name == victim else upstream
        for upstream in upstreams
    )
    return Scenario(asked.seed, cast, exhibits.scenes(exhibit, victim, asked.duration), exhibit)


def _expectations(asked: Request, scenario: Scenario) -> tuple[str, ...]:
    """The rules of the command line (or the default ones) and of the scenes. Raises SceneError."""
    found = (*(asked.grade or expect.DEFAULT), *(text for scene in scenario.scenes for text in scene.expect))
    names = [upstream.name for upstream in scenario.upstreams]
    errors = [error for text in found if (error := expect.check(text, names)) is not None]
    if errors:
        raise scenes.SceneError(errors)
    return found


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
