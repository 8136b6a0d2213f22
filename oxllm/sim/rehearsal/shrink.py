"""Shrinks a failed run to the shortest scene that still fails.

First come guesses from what the failing requests met, then everything that was played. The first of these that fails is
made smaller, one step at a time, for as long as it still fails: fewer questions, scenes and faults, each fault only
once. Every step is a run, so the result has been seen to fail.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from oxllm.sim.faults.base import Layer
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Dose, Dosed, Measure
from oxllm.sim.script.scenario import ALWAYS, Scene
from oxllm.words import count

ONCE = Dose(Measure.NEXT, 1.0)
GUESSES = 3
"""Number of failing requests whose faults are tried alone."""
KINDS = 8
"""Number of faults to try, the most frequent first, if the run has no such requests."""


class Trial(msgspec.Struct, frozen=True):
    """What to play, and how many questions to ask."""

    scenes: tuple[Scene, ...]
    questions: int

    @property
    def size(self) -> tuple[int, int]:
        """Faults and questions."""
        return sum(len(scene.faults) for scene in self.scenes), self.questions

    def __str__(self) -> str:
        faults, _ = self.size
        return f"{count(faults, 'fault')}, {count(self.questions, 'question')}"


Fails = Callable[[Trial], bool]
T = TypeVar("T")


class OutOfTries(Exception):
    """No more runs are allowed."""


def guesses(card: Card, fates: Mapping[str, str], turn: int) -> Iterator[Trial]:
    """The faults that the first failing requests met, alone: once each for a single question, then always for a whole
    `turn` of questions, since it may take a certain kind of question. A card without findings failed by its times or
    its broken answers: then each fault that struck."""
    for finding in card.findings[:GUESSES]:
        met = [(at.split(":", 1)[1], fates.get(at.split(":", 1)[1], "")) for at in finding.coordinates]
        yield from _alone(((where.rpartition(":")[0], fault) for where, fault in met if fault), turn)
    if not card.findings:
        struck = Counter((where.rpartition(":")[0], fault) for where, fault in fates.items() if fault)
        for one, _ in struck.most_common(KINDS):
            yield from _alone([one], turn)


def _alone(met: Iterable[tuple[str, str]], turn: int) -> Iterator[Trial]:
    faults: dict[str, list[str]] = defaultdict(list)
    for provider, fault in met:
        faults[provider].append(fault)
    if not faults:
        return
    once = {provider: [_once(grammar.parse(text)) for text in texts] for provider, texts in faults.items()}
    yield Trial(tuple(_scene(provider, dosed) for provider, dosed in once.items()), 1)
    always = {provider: [grammar.parse(texts[0])] for provider, texts in faults.items()}
    yield Trial(tuple(_scene(provider, dosed) for provider, dosed in always.items()), turn)


def _once(dosed: Dosed) -> Dosed:
    """The fault, to strike once; one that closes the port takes no dose."""
    return dosed if dosed.fault.strikes_at() is Layer.LISTENER else Dosed(dosed.fault, ONCE)


def _scene(provider: str, faults: Iterable[Dosed]) -> Scene:
    return Scene(f"{provider} fails", (provider,), tuple(faults))


def seconds(questions: int, rps: float) -> float:
    """How long this many questions take."""
    return round((questions + 0.5) / rps, 3)


def heard(trial: Trial, rps: float) -> Trial:
    """The trial without the scenes that begin after its end."""
    end = seconds(trial.questions, rps)
    return msgspec.structs.replace(trial, scenes=tuple(scene for scene in trial.scenes if scene.when.start < end))


def shortest(
    candidates: Iterable[Trial], fails: Fails, heard: Callable[[Trial], Trial] = lambda trial: trial
) -> Trial | None:
    """The first candidate that fails, made as small as possible; None if none fails. `fails` may raise OutOfTries,
    which ends the search with the best so far. `heard`: reduces a trial to what can be met at all."""
    best: Trial | None = None
    try:
        best = next((trial for trial in map(heard, candidates) if fails(trial)), None)
        before = None
        while best is not None and best != before:
            before = best
            for way in _WAYS:  # each as far as it goes, so that its failed tries are not repeated after each step
                while (smaller := next((trial for trial in map(heard, way(best)) if fails(trial)), None)) is not None:
                    best = smaller
    except OutOfTries:
        pass
    return best


def _fewer_questions(trial: Trial) -> Iterator[Trial]:
    for questions in dict.fromkeys((trial.questions // 2, trial.questions - 1)):
        if 1 <= questions < trial.questions:
            yield msgspec.structs.replace(trial, questions=questions)


def _no_calm(trial: Trial) -> Iterator[Trial]:
    """Without the calm before the first scene."""
    calm = min((scene.when.start for scene in trial.scenes), default=0.0)
    if calm:
        yield msgspec.structs.replace(trial, scenes=tuple(_earlier(scene, calm) for scene in trial.scenes))


def _fewer_scenes(trial: Trial) -> Iterator[Trial]:
    for scenes in _parts(trial.scenes):
        yield msgspec.structs.replace(trial, scenes=scenes)


def _fewer_faults(trial: Trial) -> Iterator[Trial]:
    for at, scene in enumerate(trial.scenes):
        for faults in _parts(scene.faults):
            yield _with(trial, at, msgspec.structs.replace(scene, faults=faults))


def _fewer_words(trial: Trial) -> Iterator[Trial]:
    """Simpler scenes: without a `when`, or with a fault only once."""
    replace = msgspec.structs.replace
    for at, scene in enumerate(trial.scenes):
        if scene.closes:
            continue
        if scene.when != ALWAYS:
            yield _with(trial, at, replace(scene, when=ALWAYS))
        for place, dosed in enumerate(scene.faults):
            if dosed.dose != ONCE:
                once = (*scene.faults[:place], Dosed(dosed.fault, ONCE), *scene.faults[place + 1 :])
                yield _with(trial, at, replace(scene, faults=once))


_WAYS = (_fewer_questions, _no_calm, _fewer_scenes, _fewer_faults, _fewer_words)
"""Ways to shrink: each yields all trials that are one step smaller, the largest steps first."""


def _parts(things: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """Each half, if there are several in it, then all but one; never empty."""
    half = len(things) // 2
    if half > 1:
        yield from (things[:half], things[half:])
    if len(things) > 1:
        yield from ((*things[:at], *things[at + 1 :]) for at in range(len(things)))


def _with(trial: Trial, at: int, scene: Scene) -> Trial:
    return msgspec.structs.replace(trial, scenes=(*trial.scenes[:at], scene, *trial.scenes[at + 1 :]))


def _earlier(scene: Scene, seconds: float) -> Scene:
    when = scene.when
    moved = msgspec.structs.replace(when, start=when.start - seconds, end=when.end - seconds)
    return msgspec.structs.replace(scene, when=moved)
