"""What a run must achieve: the rules of `--grade` and of a scene's `expect`.

client_errors == 0                      a number of the card
failover.p99 < 500ms                    a time of the card
ttft.p99 <= 3 x perfect + 1s            the same, relative to that of a perfect gateway
alpha closed by 45s                     a breaker
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Sequence

import msgspec

from oxllm.sim.provider import pace
from oxllm.sim.rehearsal.card import Card, Sample, Spread
from oxllm.sim.script import grammar

_NUMBER = r"\d+(?:\.\d+)?"
_EXPECT = re.compile(rf"(\w+)(?:\.(\w+))? *(==|<=|>=|<|>) *(?:({_NUMBER}) *x *perfect *\+ *)?({_NUMBER}(?:ms|s|m)?)$")
_CLOSED = re.compile(r"(\S+) closed by (\S+)$")
QUANTILES = ("p50", "p99")
_OPERATORS = {"==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

DEFAULT = ("survivable_errors == 0", "truncated == 0", "ttft.p99 <= 3 x perfect + 1s")
"""The default rules."""


def check(text: str, providers: Iterable[str]) -> str | None:
    """Why `text` is not a rule, and what to write instead; None if it is one."""
    compared, closed = _EXPECT.match(text), _CLOSED.match(text)
    if compared:
        return _unknown(text, compared)
    if closed:
        return _never(text, closed, tuple(providers))
    return f"{text!r}: write 'client_errors == 0', 'failover.p99 < 500ms' or 'alpha closed by 45s'"


def _never(text: str, closed: re.Match[str], providers: Sequence[str]) -> str | None:
    """What is wrong with a rule about a breaker; None if nothing."""
    name, when = closed.groups()
    if name not in providers:
        return f"{text!r}: unknown provider {name!r}; there are {', '.join(providers)}"
    try:
        pace.seconds(when)
    except ValueError as error:
        return f"{text!r}: {error}"
    return None


def _unknown(text: str, compared: re.Match[str]) -> str | None:
    """What is wrong with a comparison, which must be of two numbers or of two times; None if nothing."""
    name, quantile, _, times_perfect, value = compared.groups()
    fields = {field.name: field.type for field in msgspec.structs.fields(Card)}
    numbers = [name for name, kind in fields.items() if kind in (int, float)]
    times = [name for name, kind in fields.items() if kind is Spread]
    if times_perfect and f"{name}_perfect" not in times:
        return f"{text!r}: a perfect gateway is known by ttft and total only"
    if name in times:
        return None if quantile in QUANTILES else f"{text!r}: write {name}.p50 or {name}.p99"
    if name not in numbers or quantile:
        instead = f"write one of {', '.join(numbers)}, or .p50 or .p99 of {', '.join(times)}"
        return f"{text!r}: {grammar.meant(name, {*numbers, *times} - {name}) or instead}"
    return f"{text!r}: {name} is a number; leave out the unit" if value[-1].isalpha() else None


def met(text: str, card: Card, samples: Sequence[Sample]) -> bool:
    """Whether a rule that `check` accepted was kept. A time that was never measured is not too long."""
    compared = _EXPECT.match(text)
    if compared:
        name, quantile, sign, times_perfect, value = compared.groups()
        measured, bound = _measured(card, name, quantile), pace.seconds(value)
        if times_perfect:
            bound += float(times_perfect) * (_measured(card, f"{name}_perfect", quantile) or 0.0)
        return measured is None or bool(_OPERATORS[sign](measured, bound))
    closed = _CLOSED.match(text)
    assert closed is not None, "check() has let it pass"
    after = [sample for sample in samples if sample.at >= pace.seconds(closed[2])]
    return bool(after) and after[0].states.get(closed[1]) == "closed"


def measured(text: str, card: Card) -> float | None:
    """The measured value that a rule compares; None for a breaker, or if nothing was measured."""
    compared = _EXPECT.match(text)
    return None if compared is None else _measured(card, compared[1], compared[2])


def _measured(card: Card, name: str, quantile: str | None) -> float | None:
    value: float | None = getattr(getattr(card, name), quantile) if quantile else getattr(card, name)
    return value
