"""A gateway's state in one line: what it serves, which providers have trouble and for how long, and what to do.

`3 models served; alpha refuses its key, 41 s: oxllm provider reset alpha`
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from oxllm.status import ModelStatus, ProviderStatus, Status
from oxllm.words import count, draining, printable, quoted, remaining, text_width

OK, DEGRADED, UNSERVED = 0, 1, 2
"""Levels, and exit codes of `oxllm status --check`: all is well; a target or provider is out; a model has no target
left."""

_PHRASES = {
    "key refused": "refuses its key",
    "out of quota": "is out of quota",
    "rate-limited": "limits our rate",
    "asked us to wait": "asked us to wait",
    "model not found": "does not know {model}",
    "open": "fails",
    "half-open": "is half-open, so the next request tries it",
    "probing": "is being tried again",
    "offline": "is offline",
}
"""State of a provider or of one of its models -> how the line says it. The most urgent come first."""
_ORDER = tuple(_PHRASES)
_COMMANDS = {"key refused": "reset", "out of quota": "reset", "model not found": "reset", "offline": "online"}
"""State -> the `oxllm provider` command that ends it. The others soon end by themselves."""


class Trouble(msgspec.Struct, frozen=True):
    """What is wrong with one provider."""

    text: str
    more: str
    """The same, with why it fails or with the command that ends it, if there is one."""


class Verdict(msgspec.Struct, frozen=True):
    """The summary of a Status."""

    level: int
    models: str
    troubles: tuple[Trouble, ...] = ()

    def line(self, width: int | None) -> str:
        """As much as fits: first reasons and commands are left out, then whole troubles, the least urgent first."""
        for shown in range(len(self.troubles), -1, -1):
            for more in (True, False):
                text = self._text(shown, more)
                if width is None or text_width(text) <= width:
                    return text
        return self.models

    def _text(self, shown: int, more: bool) -> str:
        parts = [self.models, *(trouble.more if more else trouble.text for trouble in self.troubles[:shown])]
        if rest := len(self.troubles) - shown:
            parts.append(f"{rest} more" if shown else count(rest, "provider") + " not well")
        return "; ".join(parts)


def verdict(status: Status) -> Verdict:
    """The summary of `status`."""
    troubles = tuple(trouble for _, trouble in sorted(_troubles(status), key=lambda found: found[0]))
    unserved = [model for model in status.models if not model.served]
    full = status.max_in_flight is not None and status.in_flight >= status.max_in_flight
    level = UNSERVED if unserved else DEGRADED if troubles or full or _is_thinned(status) else OK
    if status.draining:
        left = status.drain_left
        return Verdict(max(level, DEGRADED), draining(status.in_flight, left) if left is not None else "draining")
    models = _models(status, unserved)
    if full:
        models += f"; {count(status.in_flight, 'request')} at once are all that max_in_flight allows: more are refused"
    return Verdict(level, models, troubles)


def _models(status: Status, unserved: list[ModelStatus]) -> str:
    known, served = len(status.models), len(status.models) - len(unserved)
    if not known:
        return f"serving {count(len(status.providers), 'provider')}, no virtual model"
    if not unserved:
        return f"{count(known, 'model')} served"
    names = ", ".join(printable(model.name) for model in unserved[:3])
    more = f" and {len(unserved) - 3} more" if len(unserved) > 3 else ""
    return f"{served} of {count(known, 'model')} served, not {names}{more}"


def _is_thinned(status: Status) -> bool:
    return any(not target.serves for model in status.models for target in model.targets)


def _troubles(status: Status) -> Iterator[tuple[int, Trouble]]:
    """Each trouble with its rank: those that do not end by themselves come first."""
    for provider in status.providers:
        if provider.state in _PHRASES:
            yield _ORDER.index(provider.state), _trouble(provider, provider.state, "", provider.seconds_left)
        elif provider.marks:
            model, mark = max(provider.marks.items(), key=lambda item: item[1].seconds_left or 0.0)
            rank = _ORDER.index(mark.state) if mark.state in _ORDER else len(_ORDER)
            yield rank, _trouble(provider, mark.state, model, mark.seconds_left)


def _trouble(provider: ProviderStatus, state: str, model: str, left: float | None) -> Trouble:
    name = printable(provider.name)
    phrase = _PHRASES.get(state, printable(state)).format(model=printable(model))
    time = f", {remaining(left)}" if left else ""
    why = f" ({printable(provider.last_failure)})" if state == "open" and provider.last_failure else ""
    command = f": oxllm provider {verb} {quoted(name)}" if (verb := _COMMANDS.get(state)) else ""
    return Trouble(f"{name} {phrase}{time}", f"{name} {phrase}{why}{time}{command}")
