"""A scenario in words: its timetable, one request's fate, and the gateway config that fits it."""

from __future__ import annotations

import string
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script.fate import Judge
from oxllm.sim.script.grammar import Measure
from oxllm.sim.script.scenario import ALWAYS, Scenario, Scene


class BadCoordinate(ValueError):
    """The text is not SEED:PROVIDER:REQUEST."""


def timetable(scenario: Scenario, horizon: float = FOREVER, width: int = 80) -> Iterator[str]:
    """The faults by the time at which they begin, a line each; nothing runs. A long set of faults that comes again and
    again has a letter, told first."""
    playing = [scene for scene in scenario.scenes if scene.when.first is not None or scene.when.start < horizon]
    if not playing:
        yield "no faults: every provider is healthy"
    letters = _letters(playing)
    for faults, letter in letters.items():
        yield from textwrap.wrap(f"{letter} = {faults}", width, break_on_hyphens=False, subsequent_indent="    ")
    longest = max((len(name) for scene in playing for name in scene.on), default=0)
    for scene in sorted(playing, key=lambda scene: scene.when.start):
        told = letters.get(_faults(scene), _faults(scene))
        for name in scene.on:
            yield f"{scene.when!s:>18}  {name:<{longest}}  {told}"


def _faults(scene: Scene) -> str:
    return ", ".join(map(str, scene.faults))


def _letters(scenes: Iterable[Scene]) -> dict[str, str]:
    """Sets of more than three faults that play more than once -> A, B, ..."""
    counted = Counter(_faults(scene) for scene in scenes if len(scene.faults) > 3)
    return dict(zip((faults for faults, count in counted.items() if count > 1), string.ascii_uppercase, strict=False))


def coordinate(text: str) -> tuple[int, str, int]:
    """`7:alpha:412`: seed, provider, request. Raises BadCoordinate."""
    seed, _, rest = text.partition(":")
    provider, _, ordinal = rest.rpartition(":")
    if not (seed.isdecimal() and provider and ordinal.isdecimal() and int(ordinal)):
        raise BadCoordinate(f"{text!r}: write SEED:PROVIDER:REQUEST, such as 7:alpha:412")
    return int(seed), provider, int(ordinal)


def fate(scenario: Scenario, provider: str, ordinal: int, horizon: float = FOREVER) -> Iterator[str]:
    """What a request gets, scene by scene up to `horizon`, since a scene on the clock asks when it arrives."""
    yield f"request {ordinal} of {provider} under seed {scenario.seed}:"
    told = [scene for scene in scenario.scenes if provider in scene.on and _concerns(scene, ordinal, horizon)]
    for scene in sorted(told, key=lambda scene: scene.when.start):
        judge = Judge(scenario.seed, provider, [scene])
        port = judge.listener(scene.when.start)
        decided = port if port.fault is not None else judge.request(ordinal, ordinal, scene.when.start)
        counted = " (if it is the first that its counted doses see)" if _counts(scene) else ""
        why = decided.why.removeprefix(f"scene {scene.name!r} ({scene.when}): ")
        yield f"{scene.when!s:>18}  {why if decided.fault is not None else 'a healthy answer'}{counted}"
    if not any(scene.when == ALWAYS for scene in told):
        yield f"{'at any other time' if told else 'always':>18}  a healthy answer"


def _concerns(scene: Scene, ordinal: int, horizon: float) -> bool:
    when = scene.when
    return when.start < horizon if when.first is None else when.has(0.0, ordinal)


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
