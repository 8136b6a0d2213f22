"""One provider's circuit breaker: stop asking a provider that is failing, and find out cheaply when it has recovered.

A breaker belongs to the provider, since it counts faults of a host: refused connections, timeouts, 5xx,
responses that make no sense. After `failures` of them in a row it opens, and nothing is sent there for a cool-off that
doubles with each re-opening up to `cooldown_max`, ±10 % so that many gateways do not come back at once. Then it is
half-open: one request, the probe, goes through, and its result decides. A result that says nothing about the host (a
429, a client that left, a hedge that lost) gives the probe back, for the next request to take. Each 300 s spent closed
undo one doubling.

A probe decides before its answer is complete: at the head of a success the breaker closes on trial, one failure short
of opening again. And a slow probe must not keep all others out: every 2 s without a failure, twice as many may probe.

A failure counts at once. If it turns out to be unclear whose fault it was, the host's or the request's, half of it
is taken back (`excuse`), even if it has just opened the breaker.

While it is open, other providers are asked instead. Where there is no other, never asking a provider that fails some
requests and answers the rest would cost its clients those answers. So one that is `flaky` but not down is the last
resort of a request that has no other target: a success then closes the breaker on trial, as a probe's does, and a
failure changes nothing.

An operator's `offline` is a state of the same machine, so that no automatic transition can undo it; `online`
starts afresh. `reset` forgets what was learnt, never what the operator said.

Each change of state begins a new generation, and so does a reset. A result from an earlier generation changes nothing:
a slow failure from before the outage must not open a breaker that has just closed. Probes are the attempts that hold
the generation of PROBING.
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
"""Share by which a cool-off is randomly shorter or longer."""
PROBE_DOUBLES_S: Final = 2.0
"""Seconds of probing after which twice as many requests may probe: otherwise a slow provider that is the only one would
be starved by its own probe."""
FORGET_S: Final = 300.0
"""Seconds spent closed that undo one doubling: a provider that fails once an hour is healthy."""
RECENT: Final = (1 << 32) - 1
"""The last 32 results, one bit each (1: answered); here all answered."""
LATEST: Final = (1 << 16) - 1
"""The later half of them."""
RECOVERIES_MIN: Final = 2
"""How often, among its recent results, a flaky provider has answered again after a failure. One that worked and then
died has not, and one that is back from an outage has once."""


class BreakerState(machine.State):
    """What may be sent to the provider."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    PROBING = "probing"
    """Half-open, with a probe in flight."""
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
"""Every possible transition."""


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
        """For the usual case: whether the state is CLOSED. Needs no clock, since only an event closes it."""
        self._closed_at = 0.0
        self._doublings = self._doublings_before = 0
        self._excusable = False
        """The failure that opened it would not have done so had it counted half."""
        self.generation = 0
        self.halves = 0
        """Failures in a row, in halves."""
        self._probes = 0
        """Probes in flight."""
        self._probing_since = 0.0
        self.opens_until = -inf
        """End of the latest cool-off."""
        self.recent = RECENT
        """Which of the last results that say something about the host were answers; the lowest bit is the latest."""
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
    def flaky(self) -> bool:
        """As far as is known it fails some requests and answers others: it is not down."""
        recoveries = self.recent & ~(self.recent >> 1) & RECENT >> 1  # not the oldest: what came before it is unknown
        return bool(self.recent & LATEST) and recoveries.bit_count() >= RECOVERIES_MIN

    def heard(self, answered: bool) -> None:
        """Note a result that says something about the host, of whatever generation."""
        self.recent = (self.recent << 1 | answered) & RECENT

    def may_probe(self, now: float) -> bool:
        """Whether a request may be sent as a probe, to find out whether the provider is back."""
        state = self.state(now)
        if state is BreakerState.PROBING:
            return self._probes < 1 << min(int((now - self._probing_since) / PROBE_DOUBLES_S), 16)
        return state is BreakerState.HALF_OPEN

    def begin_probe(self, now: float) -> int:
        """Begin a probe (`may_probe` must allow it) or a last resort. Returns the generation that the attempt holds."""
        assert self.may_probe(now) or self.flaky, self._state
        if self._state is BreakerState.HALF_OPEN:
            self._step(BreakerEvent.PROBE)
            self._probes = 0
            self._probing_since = now
        if self._state is BreakerState.PROBING:
            self._probes += 1
        return self.generation

    def give_back(self, generation: int) -> None:
        """A probe has ended without saying anything about the provider."""
        if generation == self.generation and self._state is BreakerState.PROBING:
            self._probes -= 1
            if not self._probes:
                self._step(BreakerEvent.GIVE_BACK)

    def trial(self, generation: int, now: float) -> None:
        """A probe or last resort of that generation is being answered: close, but let one failure open it again."""
        if generation == self.generation and self._state in (BreakerState.PROBING, BreakerState.OPEN):
            self._step(BreakerEvent.TRIAL)
            self._closed_at = now
            self.halves = 2 * (self.settings.failures - 1)

    def success(self, generation: int, now: float) -> None:
        """An attempt of that generation has succeeded."""
        if generation == self.generation:
            if self._state is BreakerState.PROBING:
                self._closed_at = now
            self._step(BreakerEvent.SUCCESS)
            self.halves = 0

    def failure(self, generation: int, now: float, rng: random.Random, halves: int = 2) -> None:
        """An attempt of that generation has failed in a way that counts: as a whole failure, or as half of one."""
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
        """Take back half of a failure of that generation."""
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
        """Operator: undo `offline`; no effect otherwise."""
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
