"""The fault grammar: what it reads, and the character at which it stops."""

from __future__ import annotations

import pytest

from oxllm.sim import faults
from oxllm.sim.provider.place import Place
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dose, GrammarError, Measure


@pytest.mark.parametrize(
    ("text", "kind", "place", "arg", "dose"),
    [
        ("cut@token:12 10%", "cut", Place("token", 12), None, Dose(Measure.SHARE, 0.1)),
        ("429 x8", "429", None, None, Dose(Measure.NEXT, 8)),
        ("stall@token:3~45s 1/5", "stall", Place("token", 3), 45.0, Dose(Measure.EVERY, 5)),
        ("stall~gate:go", "stall", Place("token", 3), "go", Dose()),
        ("retry-after~86400", "retry-after", None, 86400.0, Dose()),
        ("refuse", "refuse", None, None, Dose()),
        ("cut@byte:100", "cut", Place("byte", 100), None, Dose()),
        ("blackhole@connect", "blackhole", Place("connect"), None, Dose()),
        ("502-html~400", "502-html", None, 400.0, Dose()),
        ("502-html~599", "502-html", None, 599.0, Dose()),
        ("big-event~10000", "big-event", Place("token", 3), 10000.0, Dose()),
        ("  502-html~520   2.5% ", "502-html", None, 520.0, Dose(Measure.SHARE, 0.025)),
    ],
)
def test_a_fault_is_read_with_its_place_argument_and_dose(
    text: str, kind: str, place: Place | None, arg: float | str | None, dose: Dose
) -> None:
    dosed = grammar.parse(text)
    assert (dosed.fault.kind, dosed.fault.place, dosed.fault.arg, dosed.dose) == (kind, place, arg, dose)
    assert grammar.parse(str(dosed)).dose == dose


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "a fault is missing"),
        ("cutt@token:12", 0, "did you mean 'cut'?"),
        ("429@token:3", 3, "'429' takes no place"),
        ("cut@tokn:3", 4, "cannot strike at 'tokn'"),
        ("silent-cut@byte:3", 11, "write @ and one of token:N"),
        ("cut@token", 9, "write token:N"),
        ("cut@end:3", 7, "'end' takes no number"),
        ("cut@token:x", 10, "write a whole number"),
        ("cut~3s", 3, "'cut' takes no argument"),
        ("slow~soon", 5, "write a time such as 45s"),
        ("slow~gate:x", 5, "write a time such as 45s"),
        ("502-html~399", 9, "write a number from 400 to 599"),
        ("502-html~600", 9, "write a number from 400 to 599"),
        ("502-html~x", 9, "write a number from 400 to 599"),
        ("big-event@token:3~0", 18, "write a number from 1 to 10000"),
        ("big-event@token:3~10001", 18, "write a number from 1 to 10000"),
        ("429 30", 4, "write 30%, x8 or 1/5"),
        ("429 0%", 4, "above 0%"),
        ("429 101%", 4, "up to 100%"),
        ("429 x0", 4, "write 1 or more"),
        ("refuse 30%", 7, "takes no dose"),
        ("blackhole@connect x3", 18, "takes no dose"),
    ],
)
def test_an_error_points_at_the_character_and_says_what_to_write(text: str, at: int, words: str) -> None:
    with pytest.raises(GrammarError) as caught:
        grammar.parse(text)
    assert (caught.value.at, words in caught.value.reason) == (at, True), caught.value.reason
    assert str(caught.value).splitlines()[-1] == "  " + " " * at + "^"


def test_a_single_request_takes_no_dose() -> None:
    with pytest.raises(GrammarError, match="takes no dose"):
        grammar.fault("429 x1")


@pytest.mark.parametrize("kind", faults.KINDS)
def test_every_kind_can_be_written_by_its_name_alone(kind: str) -> None:
    assert grammar.parse(kind).fault.kind == kind
