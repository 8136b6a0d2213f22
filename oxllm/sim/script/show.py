"""A scenario as text: its timetable, one request's fate, and a gateway config for its providers."""

from __future__ import annotations

import string
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from oxllm.sim.faults.base import Layer
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script import writing
from oxllm.sim.script.fate import Judge
from oxllm.sim.script.grammar import Measure
from oxllm.sim.script.scenario import ALWAYS, Scenario, Scene

_CONNECTING = (Layer.CONNECTION, Layer.HANDSHAKE)


class BadCoordinate(ValueError):
    """Not of the form SEED:PROVIDER:REQUEST."""


def timetable(scenario: Scenario, horizon: float = FOREVER, width: int = 80) -> Iterator[str]:
    """The scenes by their start, one line each. Nothing is run. A long list of faults that recurs is given a letter,
    which is explained first."""
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
    """Lists of more than three faults that occur more than once -> A, B, ..."""
    counted = Counter(_faults(scene) for scene in scenes if len(scene.faults) > 3)
    return dict(zip((faults for faults, count in counted.items() if count > 1), string.ascii_uppercase, strict=False))


def coordinate(text: str) -> tuple[int, str, str]:
    """`7:alpha:412`: seed, provider, key of the request. Raises BadCoordinate."""
    seed, _, rest = text.partition(":")
    provider, _, key = rest.rpartition(":")
    if not (seed.isdecimal() and provider and key and key != "0"):
        raise BadCoordinate(f"{text!r}: write SEED:PROVIDER:REQUEST, such as 7:alpha:412")
    return int(seed), provider, key


def fate(scenario: Scenario, provider: str, key: str, horizon: float = FOREVER) -> Iterator[str]:
    """What a request gets in each scene up to `horizon`, since that depends on when it arrives. `key`: as in the
    ledger, or a number for its place in the order of arrival."""
    ordinal = int(key) if key.isdecimal() else None
    yield f"request {key} of {provider} under seed {scenario.seed}:"
    told = [scene for scene in scenario.scenes if provider in scene.on and _concerns(scene, ordinal, horizon)]
    for scene in sorted(told, key=lambda scene: scene.when.start):
        counted = " (if it is the first that its counted doses see)" if _counts(scene) else ""
        among = " (if it is one of them)" if ordinal is None and scene.when.first is not None else ""
        met = _met(Judge(scenario.seed, provider, [scene]), scene, key, ordinal)
        yield f"{scene.when!s:>18}  {'; '.join(met)}{counted}{among}"
    if not any(scene.when == ALWAYS for scene in told):
        yield f"{'at any other time' if told else 'always':>18}  a healthy answer"


def _met(judge: Judge, scene: Scene, key: str, ordinal: int | None) -> Iterator[str]:
    """What a scene does to a request, and to a new connection for it."""
    if scene.nameless:
        yield _faults(scene)
        return
    connecting = [str(dosed) for dosed in scene.faults if dosed.fault.strikes_at() in _CONNECTING]
    if len(connecting) < len(scene.faults):
        port = judge.listener(scene.when.start)
        place = ordinal or scene.when.first or 1
        fate = port if port.fault is not None else judge.request(key, place, scene.when.start)
        why = fate.why.removeprefix(f"scene {scene.name!r} ({scene.when}): ")
        yield why if fate.fault is not None else "a healthy answer"
    if connecting:
        yield f"a new connection: {', '.join(connecting)}"


def _concerns(scene: Scene, ordinal: int | None, horizon: float) -> bool:
    when = scene.when
    if when.first is None:
        return when.start < horizon
    return ordinal is None or when.has(0.0, ordinal)


def _counts(scene: Scene) -> bool:
    return any(dosed.dose.measure in (Measure.NEXT, Measure.EVERY) for dosed in scene.faults)


def config(scenario: Scenario, urls: Mapping[str, str], ca_file: str | None = None) -> str:
    """A gateway config with these providers, and one virtual model that fails over from the first to the last."""
    lines = []
    for upstream in scenario.upstreams:
        models = ", ".join(map(_value, upstream.models))
        lines += ["[[providers]]", f"name = {_value(upstream.name)}", f"base_url = {_value(urls[upstream.name])}"]
        lines += [f"models = [{models}]", *([f"ca_file = {_value(ca_file)}"] if ca_file else []), ""]
    targets = [f"  {{ provider = {_value(up.name)}, model = {_value(up.models[0])} }}," for up in scenario.upstreams]
    return "\n".join([*lines, "[virtual_models]", "smart = [", *targets, "]", ""])


def _value(value: str) -> str:
    """A string for a config, in which an unescaped `${` would begin a variable."""
    return writing.text(value.replace("${", "$${"))
