"""A scenario in words: its timetable, one request's fate, and the gateway config that fits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .fate import Judge
from .grammar import Measure
from .scenario import FOREVER, Scenario, Scene


class BadCoordinate(ValueError):
    """The text is not SEED:PROVIDER:REQUEST."""


def timetable(scenario: Scenario, horizon: float = FOREVER) -> Iterator[str]:
    """The faults by the time at which they begin, one line each; nothing runs."""
    width = max((len(name) for scene in scenario.scenes for name in scene.on), default=0)
    playing = [scene for scene in scenario.scenes if scene.when.first is not None or scene.when.start < horizon]
    for scene in sorted(playing, key=lambda scene: scene.when.start):
        faults = ", ".join(map(str, scene.faults))
        for name in scene.on:
            yield f"{scene.when!s:>18}  {name:<{width}}  {faults}"
    if not playing:
        yield "no faults: every provider is healthy"


def coordinate(text: str) -> tuple[int, str, int]:
    """`7:alpha:412`: seed, provider, request. Raises BadCoordinate."""
    seed, _, rest = text.partition(":")
    provider, _, ordinal = rest.rpartition(":")
    if not (seed.isdecimal() and provider and ordinal.isdecimal() and int(ordinal)):
        raise BadCoordinate(f"{text!r}: write SEED:PROVIDER:REQUEST, such as 7:alpha:412")
    return int(seed), provider, int(ordinal)


def fate(scenario: Scenario, provider: str, ordinal: int) -> Iterator[str]:
    """What a request gets, scene by scene, since a scene on the clock asks when it arrives."""
    yield f"request {ordinal} of {provider} under seed {scenario.seed}:"
    concerned = [scene for scene in scenario.scenes if provider in scene.on]
    for scene in concerned:
        if scene.when.first is not None and not scene.when.has(0.0, ordinal):
            continue
        judge = Judge(scenario.seed, provider, [scene])
        port = judge.listener(scene.when.start)
        decided = port if port.fault is not None else judge.request(ordinal, ordinal, scene.when.start)
        counted = " (if it is the first that its counted doses see)" if _counts(scene) else ""
        told = decided.why if decided.fault is not None else "a healthy answer"
        yield f"  {scene.when!s:>18}  {told}{counted}"
    yield "  at any other time  a healthy answer" if concerned else "  a healthy answer, always"


def _counts(scene: Scene) -> bool:
    return any(dosed.dose.measure in (Measure.NEXT, Measure.EVERY) for dosed in scene.faults)


def config(scenario: Scenario, urls: Mapping[str, str], ca_file: str | None = None) -> str:
    """A gateway config with these providers, and one virtual model that falls from the first to the last."""
    lines = []
    for upstream in scenario.upstreams:
        models = ", ".join(f'"{model}"' for model in upstream.models)
        lines += ["[[providers]]", f'name = "{upstream.name}"', f'base_url = "{urls[upstream.name]}"']
        lines += [f"models = [{models}]", *([f'ca_file = "{ca_file}"'] if ca_file else []), ""]
    targets = [f'  {{ provider = "{up.name}", model = "{up.models[0]}" }},' for up in scenario.upstreams]
    return "\n".join([*lines, "[virtual_models]", "smart = [", *targets, "]", ""])
