"""The fault grammar, readable aloud: `KIND[@WHERE][~ARG] [DOSE]`.

    cut@token:12 10%        a tenth of the requests, cut after the twelfth token
    429 x8                  the next eight
    stall@token:3~45s 1/5   every fifth
    refuse                  always

Errors point at the wrong character and say what to write instead.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from enum import Enum

import msgspec

from oxllm.sim import faults
from oxllm.sim.faults.base import Argument, Fault, Layer
from oxllm.sim.provider import pace
from oxllm.sim.provider.place import COUNTED, WORDS, Place

_DOSE = re.compile(r"(?:(?P<share>\d+(?:\.\d+)?)%|x(?P<next>\d+)|1/(?P<every>\d+))$")


class GrammarError(ValueError):
    """`text` is not a fault; `at` is the offset of the wrong character."""

    def __init__(self, text: str, at: int, reason: str) -> None:
        super().__init__(f"{reason}\n  {text}\n  {' ' * at}^")
        self.at = at
        self.reason = reason


class Measure(Enum):
    """How a dose counts."""

    ALWAYS = "always"
    SHARE = "share"
    NEXT = "next"
    EVERY = "every"


class Dose(msgspec.Struct, frozen=True):
    """`30%` = (SHARE, 0.3), `x8` = (NEXT, 8), `1/5` = (EVERY, 5), nothing = ALWAYS."""

    measure: Measure = Measure.ALWAYS
    value: float = 0.0

    def __str__(self) -> str:
        match self.measure:
            case Measure.SHARE:
                return f"{self.value * 100:g}%"
            case Measure.NEXT:
                return f"x{self.value:g}"
            case Measure.EVERY:
                return f"1/{self.value:g}"
        return "always"


class Dosed(msgspec.Struct, frozen=True):
    """A fault and how often it strikes."""

    fault: Fault
    dose: Dose

    def __str__(self) -> str:
        return self.fault.text if self.dose.measure is Measure.ALWAYS else f"{self.fault.text} {self.dose}"


def parse(text: str) -> Dosed:
    """The fault and its dose. Raises GrammarError."""
    name, dose_at, dose_text = _split(text)
    fault = _fault(text, name)
    dose = _dose(text, dose_at, dose_text) if dose_text else Dose()
    if fault.strikes_at() in (Layer.LISTENER, Layer.NAME) and dose.measure is not Measure.ALWAYS:
        what = "closes the whole port" if fault.strikes_at() is Layer.LISTENER else "is of the name, not of a request"
        reason = f"{name!r} {what}, so it takes no dose; give its scene a `when`, or write rst {dose}"
        raise GrammarError(text, dose_at, reason)
    return Dosed(fault, dose)


def fault(text: str) -> Fault:
    """A fault without a dose, as `x-oxllm-sim` carries it. Raises GrammarError."""
    name, dose_at, dose_text = _split(text)
    if dose_text:
        raise GrammarError(text, dose_at, "a single request takes no dose; leave it out")
    return _fault(text, name)


def _split(text: str) -> tuple[str, int, str]:
    """Fault, offset of the dose, dose; without the blanks around them."""
    name, _, rest = text.strip().partition(" ")
    dose = rest.strip()
    return name, text.rfind(dose) if dose else len(text), dose


def _fault(text: str, name: str) -> Fault:
    start = text.find(name)
    head, tilde, arg_text = name.partition("~")
    kind, at_sign, place_text = head.partition("@")
    if kind not in faults.KINDS:
        raise GrammarError(text, start, _unknown(kind))
    cls = faults.load(kind)
    place = _place(text, start + len(kind) + 1, cls, place_text) if at_sign else None
    arg = _argument(text, start + len(head) + 1, cls, arg_text) if tilde else None
    return cls(place, arg, name)


def _unknown(kind: str) -> str:
    words = ", ".join(faults.KINDS)
    if not kind:
        return f"a fault is missing; write one of {words}"
    return f"unknown fault {kind!r}; {meant(kind, faults.KINDS) or f'write {words}'}"


def meant(word: str, known: Iterable[str]) -> str:
    """Advice for an unknown word: the known one that was probably meant; empty if none is close."""
    close = difflib.get_close_matches(word, tuple(known), 1)
    return f"did you mean {close[0]!r}?" if close else ""


def _place(text: str, at: int, cls: type[Fault], given: str) -> Place:
    word, colon, number = given.partition(":")
    if not cls.places:
        raise GrammarError(text, at - 1, f"{cls.kind!r} takes no place; leave out @{given}")
    if word not in WORDS or word not in cls.places:
        written = ", ".join(f"{place}:N" if place in COUNTED else place for place in cls.places)
        raise GrammarError(text, at, f"{cls.kind!r} cannot strike at {word!r}; write @ and one of {written}")
    if (word in COUNTED) != bool(colon):
        reason = f"write {word}:N, such as {word}:12" if word in COUNTED else f"{word!r} takes no number"
        raise GrammarError(text, at + len(word), reason)
    if colon and not number.isdecimal():
        raise GrammarError(text, at + len(word) + 1, f"write a whole number, such as {word}:12")
    return Place(word, int(number) if number else 0)


def _argument(text: str, at: int, cls: type[Fault], given: str) -> float | str:
    if cls.argument is Argument.NONE:
        raise GrammarError(text, at - 1, f"{cls.kind!r} takes no argument; leave out ~{given}")
    if cls.argument is Argument.PAUSE and given.startswith("gate:") and len(given) > len("gate:"):
        return given.removeprefix("gate:")
    if cls.argument is Argument.COUNT:
        return _count(text, at, cls, given)
    try:
        return pace.seconds(given)
    except ValueError:
        raise _no_argument(text, at, cls, given, cls.argument.value) from None


def _count(text: str, at: int, cls: type[Fault], given: str) -> float:
    low, high = cls.counts
    if not given.isdecimal() or not low <= int(given) <= high:
        raise _no_argument(text, at, cls, given, f"a number from {low} to {high}")
    return float(given)


def _no_argument(text: str, at: int, cls: type[Fault], given: str, instead: str) -> GrammarError:
    return GrammarError(text, at, f"{given!r} is no argument for {cls.kind!r}; write {instead}")


def _dose(text: str, at: int, given: str) -> Dose:
    match = _DOSE.match(given)
    if match is None:
        raise GrammarError(text, at, f"{given!r} is no dose; write 30%, x8 or 1/5, or nothing for always")
    if match["share"]:
        share = float(match["share"]) / 100
        if not 0 < share <= 1:
            raise GrammarError(text, at, "a share lies above 0% and goes up to 100%")
        return Dose(Measure.SHARE, share)
    value = int(match["next"] or match["every"])
    if value == 0:
        raise GrammarError(text, at, "0 requests would be none; write 1 or more")
    return Dose(Measure.NEXT if match["next"] else Measure.EVERY, float(value))
