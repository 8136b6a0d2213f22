"""Routers for plans in shorthand: "a/m 1 3" is model m of provider a, in tier 1, with weight 3."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec

from oxllm.core.reading.outcome import GONE, Kind, Outcome
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.router import Router
from oxllm.core.routing.ticket import Ticket
from oxllm.plan import Plan, Provider, Target, VirtualModel


def provider(name: str, **settings: object) -> Provider:
    base = Provider(name=name, tls=True, host=f"{name}.example", port=443, path="/v1", models=("m",), api_key="k")
    return msgspec.structs.replace(base, **settings)


def virtual(name: str, *targets: str, **settings: object) -> VirtualModel:
    """Targets as "provider/model tier weight"."""
    parsed = []
    for text in targets:
        path, tier, weight = [*text.split(), "1", "1"][:3]
        of, model = path.split("/")
        parsed.append(Target(of, model, int(tier), int(weight)))
    return msgspec.structs.replace(VirtualModel(name, tuple(parsed)), **settings)


def plan(*models: VirtualModel, providers: Iterable[Provider] = (), **settings: object) -> Plan:
    names = sorted({target.provider for model in models for target in model.targets})
    given = tuple(providers) or tuple(provider(name) for name in names)
    return msgspec.structs.replace(Plan(providers=given, virtual_models=models), **settings)


def router(*models: VirtualModel, **settings: object) -> Router:
    return Router(plan(*models, **settings), random.Random(0))  # type: ignore[arg-type]


def route(subject: Router, name: str = "v") -> Route:
    found = subject.resolve(name)
    assert found is not None
    return found


def label(candidate: Candidate | None) -> str | None:
    return None if candidate is None else f"{candidate.state.provider.name}/{candidate.state.model}"


def choose(subject: Router, now: float = 0.0, name: str = "v", tried: Iterable[Candidate] = ()) -> str | None:
    return label(subject.balancer.choose(route(subject, name), {c.state for c in tried}, now)[0])


def skips(subject: Router, now: float = 0.0, name: str = "v") -> dict[str | None, Skip]:
    return {label(candidate): why for candidate, why in subject.balancer.choose(route(subject, name), set(), now)[1]}


def start(subject: Router, target: str, now: float = 0.0, name: str = "v") -> Ticket:
    candidate = next(c for c in route(subject, name).candidates if label(c) == target)
    return subject.balancer.begin(route(subject, name), candidate, (), now)


def turn(subject: Router, now: float = 0.0, name: str = "v") -> str | None:
    """An attempt, at the target whose turn it is, with a result that means nothing."""
    candidate = subject.balancer.choose(route(subject, name), (), now)[0]
    if candidate is not None:
        subject.results.end(subject.balancer.begin(route(subject, name), candidate, (), now), GONE, now)
    return label(candidate)


def run(subject: Router, target: str, outcome: Outcome, now: float = 0.0, times: int = 1) -> list[str]:
    texts = []
    for _ in range(times):
        texts += [change.text for change in subject.results.end(start(subject, target, now), outcome, now)]
    return texts


def of(kind: Kind, retry_after: float | None = None) -> Outcome:
    return Outcome(kind, "x", retry_after=retry_after)


BROKEN = of(Kind.SERVER_ERROR)
AB = ("a/m 1", "b/m 2")


def opened(*models: VirtualModel) -> tuple[Router, float]:
    """A router whose provider `a` is due for its probe at the time returned."""
    subject = router(*models or (virtual("v", *AB),))
    run(subject, "a/m", BROKEN, times=3)
    return subject, subject.providers["a"].breaker.opens_until
