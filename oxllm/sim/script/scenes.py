"""Scene files: TOML in, a checked scenario out, or every error with what to write instead."""

from __future__ import annotations

import difflib
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from oxllm.config.files import parse_toml, read_once
from oxllm.config.names import check_provider_name
from oxllm.config.problem import BadValueError
from oxllm.sim import dialects
from oxllm.sim.faults.base import Layer
from oxllm.sim.provider import limits, pace
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dosed, Measure
from oxllm.sim.script.scenario import ALWAYS, Scenario, Scene, When

T = TypeVar("T")
_REQUESTS = re.compile(r"requests (\d+)\.\.(\d*)$")
_UPSTREAM_KEYS = ("dialect", "models", "pace", "limit", "strict", "faults")
_SCENE_KEYS = ("name", "on", "when", "faults", "expect")


class SceneError(ValueError):
    """The scenes cannot be played; one line a fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def read(file: Path) -> str:
    """The text of a scene file. Raises SceneError."""
    try:
        return read_once(str(file)).decode("utf-8-sig")
    except BadValueError as bad:
        raise SceneError([f"{file}: {bad.args[0]}"]) from None
    except UnicodeDecodeError:
        raise SceneError([f"{file}: is not UTF-8; save it as UTF-8"]) from None


def load(text: str, seed: int, chosen: bool = False) -> Scenario:
    """The scenario of a scene file; its own `seed` is used before `seed`, unless that was `chosen` for this run. Raises
    SceneError with all errors."""
    return over((), text, seed, chosen)


def over(providers: Sequence[Upstream], text: str, seed: int, chosen: bool = False) -> Scenario:
    """As `load`, with these providers beside those of the file, which may describe them anew. Raises SceneError."""
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise SceneError([f"not TOML: {error}"]) from None
    except BadValueError as bad:
        raise SceneError([f"the file {bad.args[0]}"]) from None
    reader, own = _Reader(), data.get("seed", seed)
    reader.keys("the file", data, ("seed", "upstream", "scene"))
    if not isinstance(own, int) or isinstance(own, bool) or own < 0:
        reader.errors.append("seed: write a whole number from 0 up, such as seed = 7")
    tables = reader.tables(data.get("upstream", {}))
    upstreams = {upstream.name: upstream for upstream in providers}
    upstreams |= {name: reader.upstream(name, table) for name, table in tables.items()}
    played = [reader.scene(number, table) for number, table in enumerate(reader.array(data.get("scene", [])), 1)]
    played += filter(None, [reader.standing(name, table) for name, table in tables.items()])
    scenario = Scenario(seed if chosen else own, tuple(upstreams.values()), tuple(played))
    errors = reader.errors or problems(scenario)
    if errors:
        raise SceneError(errors)
    return scenario


class _Reader:
    """Reads values and collects errors, so that all are told at once."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    def tables(self, value: object) -> dict[str, dict[str, Any]]:
        """The `[upstream.NAME]`s."""
        if isinstance(value, dict) and all(isinstance(table, dict) for table in value.values()):
            return value
        self.errors.append("upstream: write a table for each provider, such as [upstream.alpha]")
        return {}

    def array(self, value: object) -> list[dict[str, Any]]:
        """The `[[scene]]`s."""
        if isinstance(value, list) and all(isinstance(table, dict) for table in value):
            return value
        self.errors.append("scene: write [[scene]] above each scene")
        return []

    def keys(self, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"write one of {', '.join(known)}"
                self.errors.append(f"{where}: unknown key {key!r}; {hint}")

    def upstream(self, name: str, table: dict[str, Any]) -> Upstream:
        where = f"upstream.{name}"
        self.keys(where, table, _UPSTREAM_KEYS)
        try:
            check_provider_name(name)
        except BadValueError as bad:
            self.errors.append(f"{where}: its name {bad.args[0]}")
        dialect = table.get("dialect", "openai")
        if dialect not in dialects.NAMES:
            self.errors.append(f"{where}: unknown dialect {dialect!r}; write one of {', '.join(dialects.NAMES)}")
        models = self.strings(f"{where}.models", table.get("models", ["sim-1"]))
        if table.get("models") == []:
            self.errors.append(f"{where}.models: a provider has one model at least; leave models out for sim-1")
        speed = self.parsed(f"{where}.pace", pace.parse, table.get("pace", "normal"), pace.Pace())
        limit = self.parsed(f"{where}.limit", limits.parse, table["limit"], None) if "limit" in table else None
        strict = table.get("strict", False)
        if not isinstance(strict, bool):
            self.errors.append(f"{where}.strict: write true or false")
        return Upstream(name, str(dialect), models, speed, limit or limits.Limits(), strict is True)

    def standing(self, name: str, table: dict[str, Any]) -> Scene | None:
        """`faults` of an upstream itself: always, after all scenes."""
        if "faults" not in table:
            return None
        return Scene(f"always on {name}", (name,), self.faults(f"upstream.{name}", table["faults"]))

    def scene(self, number: int, table: dict[str, Any]) -> Scene:
        name = str(table.get("name", f"scene {number}"))
        where = f"scene {name!r}"
        self.keys(where, table, _SCENE_KEYS)
        on = table.get("on", [])
        when = self.parsed(f"{where}, when", parse_when, table["when"], ALWAYS) if "when" in table else ALWAYS
        expect = self.strings(f"{where}, expect", table.get("expect", []))
        names = self.strings(f"{where}, on", [on] if isinstance(on, str) else on)
        return Scene(name, names, self.faults(where, table.get("faults", [])), when, expect)

    def faults(self, where: str, texts: object) -> tuple[Dosed, ...]:
        dosed = []
        for text in self.strings(f"{where}, faults", texts):
            try:
                dosed.append(grammar.parse(text))
            except grammar.GrammarError as error:
                self.errors.append(f"{where}, faults: {error}")
        return tuple(dosed)

    def strings(self, where: str, value: object) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.errors.append(f"{where}: write a list of strings")
        return ()

    def parsed(self, where: str, parse: Callable[[str], T], value: object, default: T) -> T:
        try:
            return parse(value if isinstance(value, str) else str(value))
        except ValueError as error:
            self.errors.append(f"{where}: {error}")
            return default


def parse_when(text: str) -> When:
    """`10s..40s`, `10s..`, `requests 5..12`. Raises ValueError."""
    counted = _REQUESTS.match(text)
    if counted:
        first, last = int(counted[1]), int(counted[2]) if counted[2] else None
        if first < 1 or (last is not None and last < first):
            raise ValueError(f"{text!r}: requests count from 1, and the range must rise")
        return When(first=first, last=last)
    start, dots, end = text.partition("..")
    if not dots:
        raise ValueError(f"{text!r}: write 10s..40s, 10s.. or requests 5..12")
    when = When(pace.seconds(start), pace.seconds(end) if end else FOREVER)
    if when.end <= when.start:
        raise ValueError(f"{text!r}: the window must end after it begins")
    return when


def problems(scenario: Scenario) -> list[str]:
    """What in a scenario can never come to pass, and what to write instead."""
    found = [] if scenario.upstreams else ["no providers; write [upstream.alpha]"]
    known = {upstream.name for upstream in scenario.upstreams}
    names = [scene.name for scene in scenario.scenes]
    found += [
        f"two scenes named {name!r}; give each its own name"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for scene in scenario.scenes:
        found += in_itself(scene, known)
    for first, second in itertools.combinations(scenario.scenes, 2):
        found += _between(first, second)
    return found


def in_itself(scene: Scene, known: set[str]) -> Iterable[str]:
    where = f"scene {scene.name!r}"
    if not scene.on:
        yield f"{where}: on which provider? Write on = {sorted(known)[0]!r}" if known else f"{where}: on is missing"
    for name in scene.on:
        if name not in known and known:
            yield f"{where}: unknown provider {name!r}; there are {', '.join(sorted(known))}"
    for layer in Layer:
        doses = [dosed for dosed in scene.faults if dosed.fault.strikes_at() is layer]
        share = sum(dosed.dose.value for dosed in doses if dosed.dose.measure is Measure.SHARE)
        if share > 1 + 1e-9:
            yield f"{where}: its shares add up to {share * 100:g}%; 100% is all there is"
        for dosed in doses[:-1]:
            if dosed.dose.measure is Measure.ALWAYS:
                text = dosed.fault.text
                yield f"{where}: {text!r} always strikes, so nothing after it can; give it a dose or put it last"
    if scene.nameless and scene.when != ALWAYS:
        yield f"{where}: a name cannot be found for the whole run; leave out when"
    if scene.when.first is not None and scene.closes:
        yield f"{where}: a closed port gets no requests to count; write a time such as when = '10s..40s'"


def _between(first: Scene, second: Scene) -> Iterable[str]:
    """Of two scenes that play at once, one must not leave the other nothing."""
    shared = sorted(set(first.on) & set(second.on))
    if not shared or not _meet(first.when, second.when):
        return
    for total, other in ((first, second), (second, first)):
        hidden = total is first or total.closes
        if hidden and other.faults and (total.closes or _takes_all(total)):
            strong = next(dosed for dosed in total.faults if dosed.dose.measure is Measure.ALWAYS)
            instead = "" if total.closes else ", or give it a dose"
            yield (
                f"scene {total.name!r} gives {shared[0]} {strong.fault.text!r} always ({total.when}), "
                f"which leaves nothing for scene {other.name!r} ({other.when}); "
                f"let their times not overlap{instead}"
            )
            return


def _takes_all(scene: Scene) -> bool:
    return any(
        dosed.dose.measure is Measure.ALWAYS and dosed.fault.strikes_at() is Layer.RESPONSE for dosed in scene.faults
    )


def _meet(one: When, other: When) -> bool:
    """Whether two windows can overlap. One in requests and one in seconds are never known to."""
    if (one.first is None) != (other.first is None):
        return False
    if one.first is not None and other.first is not None:
        return one.first <= (other.last or FOREVER) and other.first <= (one.last or FOREVER)
    return one.start < other.end and other.start < one.end
