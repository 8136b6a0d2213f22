"""Errors of real providers as faults of simulated ones: `said~groq-413 30%`, besides the simulator's own faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dosed
from oxllm.sim.script.scenario import Scene
from tests.support.corpus import Case, cases, filled

KIND = "said"
CASES = {case.id: case for case in cases() if case.body is not None and case.status >= 400 and case.then == "end"}
"""Id -> case, for errors with a complete body."""


class Said(Fault):
    """An error as a real provider has sent it."""

    kind = KIND
    __slots__ = ("case",)

    def __init__(self, case: Case) -> None:
        super().__init__(None, None, f"{KIND}~{case.id}")
        self.case = case

    def play(self, x: Exchange) -> Iterator[Step]:
        case = self.case
        headers = [(name.lower(), filled(value, x.wall)) for name, value in case.headers.items()]
        named = dict(headers).get("content-type", "application/json")
        others = [(name, value) for name, value in headers if name not in ("content-type", "content-length")]
        return x.raw(case.status, named, filled(case.body or "", x.wall).encode(), others)


def parse(text: str) -> Dosed:
    """A fault and its dose: one of these, or one of the simulator's."""
    name, _, dose = text.partition(" ")
    kind, _, case = name.partition("~")
    if kind != KIND:
        return grammar.parse(text)
    return Dosed(Said(CASES[case]), grammar.parse(f"500 {dose}").dose)


def scenes(faults: Mapping[str, Sequence[str]]) -> tuple[Scene, ...]:
    """These faults of these providers, always in play."""
    return tuple(Scene(f"always on {name}", (name,), tuple(map(parse, texts))) for name, texts in faults.items())
