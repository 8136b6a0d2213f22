"""Scene files: TOML in, a checked scenario out, or every error with what to write instead."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from oxllm.config import syntax
from oxllm.config.files import parse_toml, read_once
from oxllm.config.lines import Path as Keys
from oxllm.config.lines import find_places, line_of
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
    """The scenes cannot be played. One message for each error."""

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


def load(text: str, seed: int, chosen: bool = False, file: Path | None = None) -> Scenario:
    """The scenario of a scene file. Its own `seed` takes precedence, unless ours was `chosen` for this run. Raises
    SceneError with all errors; with `file` each begins with the file's name and the line."""
    return over((), text, seed, chosen, file)


def over(
    providers: Sequence[Upstream], text: str, seed: int, chosen: bool = False, file: Path | None = None
) -> Scenario:
    """As `load`, with these providers in addition to the file's, which may redefine them. Raises SceneError."""
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise SceneError([_no_toml(text, error, file)]) from None
    except BadValueError as bad:
        raise SceneError([f"{file or 'the file'} {bad.args[0]}"]) from None
    reader, own = _Reader(), data.get("seed", seed)
    reader.keys((), "the file", data, ("seed", "upstream", "scene"))
    if not isinstance(own, int) or isinstance(own, bool) or own < 0:
        reader.error(("seed",), "seed: write a whole number from 0 up, such as seed = 7")
    tables = reader.tables(data.get("upstream", {}))
    upstreams = {upstream.name: upstream for upstream in providers}
    upstreams |= {name: reader.upstream(name, table) for name, table in tables.items()}
    played = {("scene", n): reader.scene(n, table) for n, table in enumerate(reader.array(data.get("scene", [])))}
    standing = {("upstream", name, "faults"): reader.standing(name, table) for name, table in tables.items()}
    scenes: dict[Keys, Scene] = played | {keys: scene for keys, scene in standing.items() if scene is not None}
    scenario = Scenario(seed if chosen else own, tuple(upstreams.values()), tuple(scenes.values()))
    errors = reader.errors or [(keys, text) for keys, text in _problems(scenario, tuple(scenes))]
    if errors:
        raise SceneError(_located(errors, text, file))
    return scenario


def _no_toml(text: str, error: tomllib.TOMLDecodeError, file: Path | None) -> str:
    if file is None:
        return f"not TOML: {error}"
    wrong = syntax.explain(text, error, text)
    return f"{file}:{wrong.line}: {wrong.message}{wrong.help and f'; {wrong.help}'}"


def _located(errors: Sequence[tuple[Keys, str]], text: str, file: Path | None) -> list[str]:
    """The errors in file order, each with `file:line`, which editors and terminals turn into a link."""
    if file is None:
        return [error for _, error in errors]
    lines = find_places(text).lines
    placed = [(line_of(lines, keys) or 0, error.removeprefix("the file: ")) for keys, error in errors]
    placed.sort(key=lambda each: each[0])
    return [f"{file}:{line}: {error}" if line else f"{file}: {error}" for line, error in placed]


class _Reader:
    """Reads values and collects errors (where in the file, and what), so that all are reported at once."""

    def __init__(self) -> None:
        self.errors: list[tuple[Keys, str]] = []

    def error(self, at: Keys, text: str) -> None:
        self.errors.append((at, text))

    def tables(self, value: object) -> dict[str, dict[str, Any]]:
        """The `[upstream.NAME]`s."""
        if isinstance(value, dict) and all(isinstance(table, dict) for table in value.values()):
            return value
        self.error(("upstream",), "upstream: write a table for each provider, such as [upstream.alpha]")
        return {}

    def array(self, value: object) -> list[dict[str, Any]]:
        """The `[[scene]]`s."""
        if isinstance(value, list) and all(isinstance(table, dict) for table in value):
            return value
        self.error(("scene",), "scene: write [[scene]] above each scene")
        return []

    def keys(self, at: Keys, where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.error((*at, key), f"{where}: unknown key {key!r}; {_hint(key, known)}")

    def upstream(self, name: str, table: dict[str, Any]) -> Upstream:
        at, where = ("upstream", name), f"upstream.{name}"
        self.keys(at, where, table, _UPSTREAM_KEYS)
        try:
            check_provider_name(name)
        except BadValueError as bad:
            self.error(at, f"{where}: its name {bad.args[0]}")
        dialect = str(table.get("dialect", "openai"))
        if dialect not in dialects.NAMES:
            self.error((*at, "dialect"), f"{where}: unknown dialect {dialect!r}; {_hint(dialect, dialects.NAMES)}")
        models = self.strings((*at, "models"), f"{where}.models", table.get("models", ["sim-1"]))
        if table.get("models") == []:
            why = "a provider has one model at least; leave models out for sim-1"
            self.error((*at, "models"), f"{where}.models: {why}")
        speed = self.parsed((*at, "pace"), f"{where}.pace", pace.parse, table.get("pace", "normal"), pace.Pace())
        limit = limits.Limits()
        if "limit" in table:
            limit = self.parsed((*at, "limit"), f"{where}.limit", limits.parse, table["limit"], limit)
        strict = table.get("strict", False)
        if not isinstance(strict, bool):
            self.error((*at, "strict"), f"{where}.strict: write true or false")
        return Upstream(name, dialect, models, speed, limit, strict is True)

    def standing(self, name: str, table: dict[str, Any]) -> Scene | None:
        """The scene of an upstream's own `faults`: always on, after all others."""
        if "faults" not in table:
            return None
        faults = self.faults(("upstream", name, "faults"), f"upstream.{name}", table["faults"])
        return Scene(f"always on {name}", (name,), faults)

    def scene(self, number: int, table: dict[str, Any]) -> Scene:
        """`number`: from 0."""
        name = str(table.get("name", f"scene {number + 1}"))
        at, where = ("scene", number), f"scene {name!r}"
        self.keys(at, where, table, _SCENE_KEYS)
        on, when = table.get("on", []), ALWAYS
        if "when" in table:
            when = self.parsed((*at, "when"), f"{where}, when", parse_when, table["when"], when)
        expect = self.strings((*at, "expect"), f"{where}, expect", table.get("expect", []))
        names = self.strings((*at, "on"), f"{where}, on", [on] if isinstance(on, str) else on)
        return Scene(name, names, self.faults((*at, "faults"), where, table.get("faults", [])), when, expect)

    def faults(self, at: Keys, where: str, texts: object) -> tuple[Dosed, ...]:
        dosed = []
        for number, text in enumerate(self.strings(at, f"{where}, faults", texts)):
            try:
                dosed.append(grammar.parse(text))
            except grammar.GrammarError as error:
                self.error((*at, number), f"{where}, faults: {error}")
        return tuple(dosed)

    def strings(self, at: Keys, where: str, value: object) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        self.error(at, f"{where}: write a list of strings")
        return ()

    def parsed(self, at: Keys, where: str, parse: Callable[[str], T], value: object, default: T) -> T:
        try:
            return parse(value if isinstance(value, str) else str(value))
        except ValueError as error:
            self.error(at, f"{where}: {error}")
            return default


def _hint(word: str, known: Sequence[str]) -> str:
    """Advice for an unknown word."""
    return grammar.meant(word, known) or f"write one of {', '.join(known)}"


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
    """What in a scenario can never happen, and what to write instead."""
    return [text for _, text in _problems(scenario, [()] * len(scenario.scenes))]


def _problems(scenario: Scenario, places: Sequence[Keys]) -> Iterator[tuple[Keys, str]]:
    """The same, each with the place of its scene. `places`: one for each scene."""
    if not scenario.upstreams:
        yield (), "no providers; write [upstream.alpha]"
    known = {upstream.name for upstream in scenario.upstreams}
    scenes = tuple(zip(places, scenario.scenes, strict=True))
    seen: set[str] = set()
    for at, scene in scenes:
        if scene.name in seen:
            yield (*at, "name"), f"two scenes named {scene.name!r}; give each its own name"
        seen.add(scene.name)
    for at, scene in scenes:
        yield from ((at, text) for text in in_itself(scene, known))
    for (_, first), (at, second) in itertools.combinations(scenes, 2):
        yield from ((at, text) for text in _between(first, second))


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
    """Of two scenes that play at once, neither may leave the other nothing to strike."""
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
    """Whether two windows can overlap. False for one in requests and one in seconds, which cannot be compared."""
    if (one.first is None) != (other.first is None):
        return False
    if one.first is not None and other.first is not None:
        return one.first <= (other.last or FOREVER) and other.first <= (one.last or FOREVER)
    return one.start < other.end and other.start < one.end
