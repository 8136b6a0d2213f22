"""One provider's circuit breaker: stop asking who does not answer, and find out cheaply when that is over.

A breaker belongs to the provider, since what it counts are faults of a host: refused connections, timeouts, 5xx,
answers that are none. After `failures` of them in a row it opens, and nothing goes there for a cool-off that
doubles with each re-opening up to `cooldown_max`, ±10 % so that many gateways do not come back as one. Then it is
half-open: one request, the probe, goes through, and its result decides. What says nothing about the host (a 429, a
client that left, a hedge that lost) gives the probe back, and the next request takes it. A doubling is forgotten for
each 300 s closed.

A probe need not be answered whole to decide: at the head of its success the breaker closes on trial, one failure short
of opening again. And a slow probe must not keep all others out: each 2 s without a failure twice as many may probe.

A failure counts at once. If it turns out that nobody knows whose fault it was, the host's or the request's, half of it
is taken back (`excuse`), even if it has just opened the breaker.

Open means that others are asked instead. Where there is no other, leaving a provider alone that fails in some requests
and answers the rest costs its clients those answers. So one that is `flaky`, not down, is the last resort of a request
that has nobody else: an answer then closes the breaker on trial, as a probe's does, and a failure moves nothing.

An operator's `offline` is a state of the same machine, so that no automatic transition can undo it; `online`
starts afresh. `reset` forgets what was learnt, never what the operator said.

Each change of state begins a generation, and so does a reset. A result that belongs to an earlier one moves nothing:
a slow failure from before the outage must not open a breaker that has just closed. The probe is whoever holds the
generation of PROBING.
"""

from __future__ import annotations

import random
from math import inf
from typing import Final

from oxllm import plan
from oxllm.core import machine
from oxllm.core.machine import Table
from oxllm.core.native import mypyc_attr

JITTER: Final = 0.1
"""Share of a cool-off by which it may be shorter or longer."""
PROBE_DOUBLES_S: Final = 2.0
"""Seconds of probing after which twice as many requests may probe: a provider that is slow and the only one would else
be starved by its own probe."""
FORGET_S: Final = 300.0
"""Seconds closed after which one doubling is forgotten: a provider that fails once an hour is a healthy one."""
RECENT: Final = (1 << 32) - 1
"""The last 32 results, a bit each, all answers."""
LATEST: Final = (1 << 16) - 1
"""The half of them that came last."""
RECOVERIES_MIN: Final = 2
"""How often a flaky provider has answered again behind a failure, of its recent results. One that worked and then died
has not, and one that comes back from an outage has once."""


class BreakerState(machine.State):
    """What may be sent to the provider."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    PROBING = "probing"
    """Half-open, and a probe is out."""
    OFFLINE = "offline"


class BreakerEvent(machine.Event):
    """What can happen to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRIP = "failure that reaches the threshold"
    EXCUSE = "that failure may have been its request's fault"
    COOLED = "cool-off over"
    PROBE = "first probe begun"
    TRIAL = "a probe or a last resort is being answered"
    GIVE_BACK = "last probe given back"
    OFFLINE = "operator: offline"
    ONLINE = "operator: online"
    RESET = "operator: reset"


TABLE: Table[BreakerState, BreakerEvent] = Table(
    {
        (BreakerState.CLOSED, BreakerEvent.SUCCESS): BreakerState.CLOSED,
        (BreakerState.CLOSED, BreakerEvent.FAILURE): BreakerState.CLOSED,
        (BreakerState.CLOSED, BreakerEvent.TRIP): BreakerState.OPEN,
        (BreakerState.CLOSED, BreakerEvent.RESET): BreakerState.CLOSED,
        (BreakerState.CLOSED, BreakerEvent.OFFLINE): BreakerState.OFFLINE,
        (BreakerState.OPEN, BreakerEvent.COOLED): BreakerState.HALF_OPEN,
        (BreakerState.OPEN, BreakerEvent.EXCUSE): BreakerState.CLOSED,
        (BreakerState.OPEN, BreakerEvent.TRIAL): BreakerState.CLOSED,
        (BreakerState.OPEN, BreakerEvent.RESET): BreakerState.CLOSED,
        (BreakerState.OPEN, BreakerEvent.OFFLINE): BreakerState.OFFLINE,
        (BreakerState.HALF_OPEN, BreakerEvent.PROBE): BreakerState.PROBING,
        (BreakerState.HALF_OPEN, BreakerEvent.RESET): BreakerState.CLOSED,
        (BreakerState.HALF_OPEN, BreakerEvent.OFFLINE): BreakerState.OFFLINE,
        (BreakerState.PROBING, BreakerEvent.TRIAL): BreakerState.CLOSED,
        (BreakerState.PROBING, BreakerEvent.SUCCESS): BreakerState.CLOSED,
        (BreakerState.PROBING, BreakerEvent.FAILURE): BreakerState.OPEN,
        (BreakerState.PROBING, BreakerEvent.GIVE_BACK): BreakerState.HALF_OPEN,
        (BreakerState.PROBING, BreakerEvent.RESET): BreakerState.CLOSED,
        (BreakerState.PROBING, BreakerEvent.OFFLINE): BreakerState.OFFLINE,
        (BreakerState.OFFLINE, BreakerEvent.RESET): BreakerState.OFFLINE,
        (BreakerState.OFFLINE, BreakerEvent.ONLINE): BreakerState.CLOSED,
    }
)
"""Every transition there is."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Breaker:
    """The breaker of one provider. Times are the caller's monotonic seconds."""

    __slots__ = (
        "_closed_at",
        "_doublings",
        "_doublings_before",
        "_excusable",
        "_probes",
        "_probing_since",
        "_state",
        "closed",
        "generation",
        "halves",
        "moves",
        "opens_until",
        "recent",
        "settings",
    )

    def __init__(self, settings: plan.Breaker) -> None:
        self.settings = settings
        self._state = BreakerState.CLOSED
        self.closed = True
        """Nothing is wrong: what the usual case asks. Needs no clock, since only an event closes."""
        self._closed_at = 0.0
        self._doublings = self._doublings_before = 0
        self._excusable = False
        """The failure that opened it would not have done so as half of one."""
        self.generation = 0
        self.halves = 0
        """Failures in a row, counted by halves."""
        self._probes = 0
        """That are out."""
        self._probing_since = 0.0
        self.opens_until = -inf
        """End of the latest cool-off."""
        self.recent = RECENT
        """Whether each of the last results that tell of the host was an answer; the latest is the lowest bit."""
        self.moves: dict[tuple[BreakerState, BreakerState], int] = {}
        """How often it went from one state to another."""

    def __repr__(self) -> str:
        return f"<Breaker {self._state.value} {self.halves / 2:g} failures {self._probes} probes>"

    def state(self, now: float) -> BreakerState:
        """The state now; an open breaker whose cool-off is over turns half-open here."""
        if self._state is BreakerState.OPEN and now >= self.opens_until:
            self._step(BreakerEvent.COOLED)
        return self._state

    @property
    def failures(self) -> int:
        """In a row, whole ones."""
        return self.halves // 2

    @property
    def flaky(self) -> bool:
        """It fails in some requests and answers others, as far as is known: it is not down."""
        recoveries = self.recent & ~(self.recent >> 1) & RECENT >> 1  # of the oldest nobody knows what was before it
        return bool(self.recent & LATEST) and recoveries.bit_count() >= RECOVERIES_MIN

    def heard(self, answered: bool) -> None:
        """A result says something of the host, whatever generation it is of."""
        self.recent = (self.recent << 1 | answered) & RECENT

    def may_probe(self, now: float) -> bool:
        """A request may be sent that finds out whether the provider is back."""
        state = self.state(now)
        if state is BreakerState.PROBING:
            return self._probes < 1 << min(int((now - self._probing_since) / PROBE_DOUBLES_S), 16)
        return state is BreakerState.HALF_OPEN

    def begin_probe(self, now: float) -> int:
        """The caller's attempt is a probe, which it must be allowed to be, or a last resort. Returns the generation
        that it holds."""
        assert self.may_probe(now) or self.flaky, self._state
        if self._state is BreakerState.HALF_OPEN:
            self._step(BreakerEvent.PROBE)
            self._probes = 0
            self._probing_since = now
        if self._state is BreakerState.PROBING:
            self._probes += 1
        return self.generation

    def give_back(self, generation: int) -> None:
        """A probe ended without saying anything about the provider."""
        if generation == self.generation and self._state is BreakerState.PROBING:
            self._probes -= 1
            if not self._probes:
                self._step(BreakerEvent.GIVE_BACK)

    def trial(self, generation: int, now: float) -> None:
        """A probe or a last resort of that generation is being answered: close, but let one failure open again."""
        if generation == self.generation and self._state in (BreakerState.PROBING, BreakerState.OPEN):
            self._step(BreakerEvent.TRIAL)
            self._closed_at = now
            self.halves = 2 * (self.settings.failures - 1)

    def success(self, generation: int, now: float) -> None:
        """An attempt of that generation was answered as it should be."""
        if generation == self.generation:
            if self._state is BreakerState.PROBING:
                self._closed_at = now
            self._step(BreakerEvent.SUCCESS)
            self.halves = 0

    def failure(self, generation: int, now: float, rng: random.Random, halves: int = 2) -> None:
        """An attempt of that generation failed in a way that counts, as a whole failure or as half of one."""
        if generation != self.generation or self._state is BreakerState.OPEN:
            return
        if self._state is BreakerState.PROBING:
            self._step(BreakerEvent.FAILURE)
            self._excusable = False
            self._cool_off(now, rng)
            return
        self.halves += halves
        if self.halves < 2 * self.settings.failures:
            self._step(BreakerEvent.FAILURE)
            return
        self._step(BreakerEvent.TRIP)
        self._excusable = self.halves == 2 * self.settings.failures
        self._doublings = max(0, self._doublings - int((now - self._closed_at) / FORGET_S))
        self._cool_off(now, rng)

    def excuse(self, generation: int) -> None:
        """Half of a failure in that generation is taken back."""
        if generation == self.generation:
            self.halves = max(0, self.halves - 1)
        elif generation == self.generation - 1 and self._state is BreakerState.OPEN and self._excusable:
            self._step(BreakerEvent.EXCUSE)
            self._doublings = self._doublings_before
            self.opens_until = -inf
            self.halves = 2 * self.settings.failures - 1

    def offline(self) -> None:
        """Operator: send nothing there, until `online`."""
        if self._state is not BreakerState.OFFLINE:
            self._step(BreakerEvent.OFFLINE)

    def online(self) -> None:
        """Operator: undo `offline`. Without one, nothing happens."""
        if self._state is BreakerState.OFFLINE:
            self._step(BreakerEvent.ONLINE)
            self._forget()

    def reset(self) -> None:
        """Operator: forget every failure, cool-off and doubling. Stays offline if it is."""
        self.generation += 1
        self._step(BreakerEvent.RESET)
        self._forget()

    def _forget(self) -> None:
        self.halves = self._doublings = 0
        self.opens_until = -inf
        self.recent = RECENT

    def _cool_off(self, now: float, rng: random.Random) -> None:
        self._doublings_before = self._doublings
        seconds = self.settings.cooldown * 2.0**self._doublings
        if seconds < self.settings.cooldown_max:
            self._doublings += 1
        self.halves = 0
        self.opens_until = now + min(seconds, self.settings.cooldown_max) * rng.uniform(1 - JITTER, 1 + JITTER)

    def _step(self, event: BreakerEvent) -> None:
        before = self._state
        after = TABLE.move(before, event)
        if after is not before:
            self._state = after
            self.closed = after is BreakerState.CLOSED
            self.generation += 1
            self.moves[before, after] = self.moves.get((before, after), 0) + 1
