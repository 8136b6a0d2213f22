"""Providers that do anything in any order: each plays its stream up to a byte and ends it in some way. An exchange
driven by hand interleaves them as a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.core.protocols.base import Protocol
from oxllm.core.reading.outcome import Failure
from oxllm.core.request.attempt import Attempt
from tests.support.by_hand import Drive, make_plan

NAMES = ("alpha", "beta", "gamma")
WAYS = ("fin", "rst", "clean", "stall", "garbage", "overload", "invalid")
HOLD_BACKS = (plans.HoldBack(), plans.HoldBack(tokens=3), plans.HoldBack(seconds=0.8), plans.HoldBack(full=True))
FAST = plans.Timeouts(connect=3.0, first_byte=8.0, answer=12.0, idle=6.0)
GARBAGE = b"data: {oh no\n\n"

Fate = tuple[int, str]
Move = tuple[int, int]
FATES = st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(WAYS)), min_size=1, max_size=3)
MOVES = st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, 7, 90, 400, 4000])), max_size=60)


class Provider:
    """Plays `stream` up to a byte, and ends it in some way. `events`: way -> what it sends if that way is an error."""

    def __init__(self, stream: bytes, fate: Fate, events: Mapping[str, bytes]) -> None:
        self._stream = stream
        self._cut, self._way = min(fate[0], len(stream)), fate[1]
        self._last = {"garbage": GARBAGE, **events}.get(self._way, b"")
        self._at = 0

    def play(self, drive: Drive, attempt: Attempt, size: int) -> None:
        """Play the next bytes, or the end."""
        name = attempt.candidate.state.provider.name
        if attempt.status == 0:
            drive.head(name)
        elif self._at < self._cut:
            part = self._stream[self._at : min(self._at + size, self._cut)]
            self._at += len(part)
            drive.data(name, part)
        elif self._way != "stall":
            self._at = self._cut = 0
            self._end(drive, name)

    def _end(self, drive: Drive, name: str) -> None:
        if self._way in ("fin", "rst"):
            drive.fail(name, Failure.EOF if self._way == "fin" else Failure.RESET, early=False)
            return
        if self._last:
            drive.data(name, b"\n\n" + self._last)
        if drive[name].phase.name != "ENDED":
            drive.end(name)


def drive(
    protocol: Protocol,
    providers: Sequence[Provider],
    hold_back: plans.HoldBack,
    hedge_after: float | None,
    moves: Sequence[Move],
) -> Drive:
    """An exchange over these providers, played to its end."""
    names = NAMES[: len(providers)]
    targets = [plans.Target(name, "m", tier, timeouts=FAST) for tier, name in enumerate(names, 1)]
    plan = make_plan(*targets, hold_back=hold_back, hedge_after=hedge_after, request=60.0)
    driven = Drive(plan=plan, protocol=protocol, stream=True).start()
    for choice, size in [*moves, *[(0, 4000)] * 40]:
        running = [attempt for attempt in driven.attempts if attempt.phase.name != "ENDED"]
        if choice > 6 or not running:
            driven.pass_time(choice / 2)
        else:
            attempt = running[choice % len(running)]
            providers[names.index(attempt.candidate.state.provider.name)].play(driven, attempt, size)
    driven.pass_time(100)
    assert driven.over
    return driven
