"""One provider's circuit breaker: stop asking who does not answer, and find out cheaply when that is over.

A breaker belongs to the provider, since what it counts are faults of a host: refused connections, timeouts, 5xx,
answers that are none. After `failures` of them in a row it opens, and nothing goes there for a cool-off that
doubles with each re-opening up to `cooldown_max`, ±10 % so that many gateways do not come back as one. Then it is
half-open: exactly one request, the probe, goes through, and its result decides. What says nothing about the host (a
429, a client that left, a hedge that lost) gives the probe back, and the next request takes it. A doubling is
forgotten for each 300 s closed.

An operator's `offline` is a state of the same machine, so that no automatic transition can undo it; `online`
starts afresh. `reset` forgets what was learnt, never what the operator said.

Each change of state begins a generation, and so does a reset. A result that belongs to an earlier one moves nothing:
a slow failure from before the outage must not open a breaker that has just closed. The probe is whoever holds the
generation of PROBING.
"""

from __future__ import annotations

import random
from math import inf

from oxllm import plan
from oxllm.core import machine
from oxllm.core.machine import Table, move

JITTER = 0.1
"""Share of a cool-off by which it may be shorter or longer."""
FORGET_S = 300.0
"""Seconds closed after which one doubling is forgotten: a provider that fails once an hour is a healthy one."""


class State(machine.State):
    """What may be sent to the provider."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    PROBING = "probing"
    """Half-open, and the one probe is out."""
    OFFLINE = "offline"


class Event(machine.Event):
    """What can happen to a breaker."""

    SUCCESS = "success"
    FAILURE = "failure"
    TRIP = "failure that reaches the threshold"
    COOLED = "cool-off over"
    TAKE = "probe taken"
    GIVE_BACK = "probe given back"
    OFFLINE = "operator: offline"
    ONLINE = "operator: online"
    RESET = "operator: reset"


TABLE: Table[State, Event] = {
    (State.CLOSED, Event.SUCCESS): State.CLOSED,
    (State.CLOSED, Event.FAILURE): State.CLOSED,
    (State.CLOSED, Event.TRIP): State.OPEN,
    (State.CLOSED, Event.RESET): State.CLOSED,
    (State.CLOSED, Event.OFFLINE): State.OFFLINE,
    (State.OPEN, Event.COOLED): State.HALF_OPEN,
    (State.OPEN, Event.RESET): State.CLOSED,
    (State.OPEN, Event.OFFLINE): State.OFFLINE,
    (State.HALF_OPEN, Event.TAKE): State.PROBING,
    (State.HALF_OPEN, Event.RESET): State.CLOSED,
    (State.HALF_OPEN, Event.OFFLINE): State.OFFLINE,
    (State.PROBING, Event.SUCCESS): State.CLOSED,
    (State.PROBING, Event.FAILURE): State.OPEN,
    (State.PROBING, Event.GIVE_BACK): State.HALF_OPEN,
    (State.PROBING, Event.RESET): State.CLOSED,
    (State.PROBING, Event.OFFLINE): State.OFFLINE,
    (State.OFFLINE, Event.RESET): State.OFFLINE,
    (State.OFFLINE, Event.ONLINE): State.CLOSED,
}
"""Every transition there is."""


class Breaker:
    """The breaker of one provider. Times are the caller's monotonic seconds."""

    __slots__ = (
        "_closed_at",
        "_doublings",
        "_state",
        "closed",
        "failures",
        "generation",
        "moves",
        "opens_until",
        "settings",
    )

    def __init__(self, settings: plan.Breaker) -> None:
        self.settings = settings
        self._state = State.CLOSED
        self.closed = True
        """Nothing is wrong: what the usual case asks. Needs no clock, since only an event closes."""
        self._closed_at = 0.0
        self._doublings = 0
        self.generation = 0
        self.failures = 0
        """In a row."""
        self.opens_until = -inf
        """End of the latest cool-off."""
        self.moves: dict[tuple[State, State], int] = {}
        """How often it went from one state to another."""

    def state(self, now: float) -> State:
        """The state now; an open breaker whose cool-off is over turns half-open here."""
        if self._state is State.OPEN and now >= self.opens_until:
            self._step(Event.COOLED)
        return self._state

    def take(self, now: float) -> int:
        """Make the caller's attempt the probe. Only when half-open. Returns the generation that it holds."""
        assert self.state(now) is State.HALF_OPEN, self._state
        self._step(Event.TAKE)
        return self.generation

    def give_back(self, generation: int) -> None:
        """The probe ended without saying anything about the provider."""
        if generation == self.generation and self._state is State.PROBING:
            self._step(Event.GIVE_BACK)

    def success(self, generation: int, now: float) -> None:
        """An attempt of that generation was answered as it should be."""
        if generation == self.generation:
            if self._state is State.PROBING:
                self._closed_at = now
            self._step(Event.SUCCESS)
            self.failures = 0

    def failure(self, generation: int, now: float, rng: random.Random) -> None:
        """An attempt of that generation failed in a way that counts."""
        if generation != self.generation:
            return
        if self._state is State.PROBING:
            self._step(Event.FAILURE)
            self._cool_off(now, rng)
            return
        self.failures += 1
        if self.failures < self.settings.failures:
            self._step(Event.FAILURE)
            return
        self._step(Event.TRIP)
        self._doublings = max(0, self._doublings - int((now - self._closed_at) / FORGET_S))
        self._cool_off(now, rng)

    def offline(self) -> None:
        """Operator: send nothing there, until `online`."""
        if self._state is not State.OFFLINE:
            self._step(Event.OFFLINE)

    def online(self) -> None:
        """Operator: undo `offline`. Without one, nothing happens."""
        if self._state is State.OFFLINE:
            self._step(Event.ONLINE)
            self._forget()

    def reset(self) -> None:
        """Operator: forget every failure, cool-off and doubling. Stays offline if it is."""
        self.generation += 1
        self._step(Event.RESET)
        self._forget()

    def _forget(self) -> None:
        self.failures = self._doublings = 0
        self.opens_until = -inf

    def _cool_off(self, now: float, rng: random.Random) -> None:
        seconds = self.settings.cooldown * 2.0**self._doublings
        if seconds < self.settings.cooldown_max:
            self._doublings += 1
        self.failures = 0
        self.opens_until = now + min(seconds, self.settings.cooldown_max) * rng.uniform(1 - JITTER, 1 + JITTER)

    def _step(self, event: Event) -> None:
        before = self._state
        after = move(TABLE, before, event)
        if after is not before:
            self._state = after
            self.closed = after is State.CLOSED
            self.generation += 1
            self.moves[before, after] = self.moves.get((before, after), 0) + 1
