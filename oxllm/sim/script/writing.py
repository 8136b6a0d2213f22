"""Writes a scenario as TOML from which `scenes` reads an equivalent one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from oxllm.sim.provider.limits import Limit, Limits
from oxllm.sim.provider.pace import Pace, Spread
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script.scenario import ALWAYS, Scene

_BARE = re.compile(r"[A-Za-z0-9_-]+$")
_PER = {1.0: "s", 60.0: "m", 3600.0: "h", 86400.0: "d"}


def toml(upstreams: Iterable[Upstream], scenes: Iterable[Scene]) -> str:
    """The text of a scene file."""
    return "\n".join([*map(_upstream, upstreams), *map(_scene, scenes)])


def key(name: str) -> str:
    """A name as a TOML key."""
    return name if _BARE.match(name) else text(name)


def _upstream(upstream: Upstream) -> str:
    lines = [
        f"[upstream.{key(upstream.name)}]",
        f"dialect = {text(upstream.dialect)}",
        f"models = {_list(upstream.models)}",
    ]
    lines.append(f"pace = {text(pace(upstream.pace))}")
    if upstream.limit != Limits():
        lines.append(f"limit = {text(limit(upstream.limit))}")
    if upstream.strict:
        lines.append("strict = true")
    return "\n".join([*lines, ""])


def _scene(scene: Scene) -> str:
    lines = ["[[scene]]", f"name = {text(scene.name)}", f"on = {_list(scene.on)}"]
    if scene.when != ALWAYS:
        lines.append(f"when = {text(str(scene.when))}")
    lines.append(f"faults = {_list([str(dosed) for dosed in scene.faults])}")
    if scene.expect:
        lines.append(f"expect = {_list(scene.expect)}")
    return "\n".join([*lines, ""])


def pace(told: Pace) -> str:
    """In the form that `pace.parse` reads."""
    low, high = told.out
    load = "" if told.load is None else f", load {told.load}"
    return f"ttft {_spread(told.ttft)}, itl {_spread(told.itl)}, out {low}..{high}{load}"


def limit(told: Limits) -> str:
    """In the form that `limits.parse` reads."""
    return ", ".join(_limit(one, unit) for one, unit in ((told.requests, "r"), (told.tokens, "t")) if one is not None)


def _spread(spread: Spread) -> str:
    shape = "" if spread.shape == "fixed" else f" {spread.shape} {_number(spread.parameter)}"
    return f"{_number(spread.mean)}s{shape}"


def _limit(one: Limit, unit: str) -> str:
    return f"{one.most} {unit}p{_PER[one.window]}"


def _number(value: float) -> str:
    """Without an exponent, which the grammar does not have."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def text(value: str) -> str:
    """A TOML string. JSON's escapes are valid in TOML, which also wants DEL escaped."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")


def _list(values: Sequence[str]) -> str:
    return f"[{', '.join(map(text, values))}]"
