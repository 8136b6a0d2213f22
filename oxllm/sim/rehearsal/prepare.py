"""From what was asked for to what is played: the config, the names that clients ask for, the scenario, the rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import click
import msgspec

from oxllm.plan import Plan, Provider, Target, VirtualModel
from oxllm.sim.faults.base import Layer
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import expect, gateway
from oxllm.sim.rehearsal.gateway import ConfigError, Route
from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.rehearsal.request import Request
from oxllm.sim.script import exhibits, grammar, presets, scenes
from oxllm.sim.script.scenario import Scenario


class Prepared(msgspec.Struct, frozen=True):
    """What was asked for, parsed and checked."""

    plan: Plan
    missing: tuple[str, ...]
    """Unset environment variables that got a stand-in."""
    scenario: Scenario
    routes: tuple[Route, ...]
    expectations: tuple[str, ...]


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


def questions(asked: Request, prepared: Prepared) -> Questions:
    """What the clients ask."""
    models = {route.name: route.models for route in prepared.routes}
    spoken = {route.name: tuple(route.spoken) for route in prepared.routes}
    return Questions(prepared.scenario.seed, models, asked.streams, spoken)


def lanes(routes: Iterable[Route]) -> dict[str, tuple[str, ...]]:
    """Each name asked for, in each protocol -> the providers behind it."""
    return {name: providers for route in routes for name, providers in route.lanes.items()}


def _scenario(asked: Request, plan: Plan) -> Scenario:
    """Chaos or an exhibit at the config's providers, or the scenes of a file. Raises BadPace, SceneError."""
    upstreams = gateway.upstreams(plan, pace.parse(asked.pace))
    if asked.scene is not None:
        return _speakable(scenes.over(upstreams, scenes.read(asked.scene), asked.seed, asked.chosen, asked.scene))
    if asked.exhibit is not None:
        return _exhibited(asked, asked.exhibit, upstreams, lanes(_routes(asked, plan)))
    groups = gateway.contested(lanes(gateway.virtual(plan)).values())
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
