"""The attempts of one request that are in flight: one, or two side by side, and the first with content wins."""

from __future__ import annotations

from math import inf
from typing import Final

from oxllm.core.reading.outcome import Outcome
from oxllm.core.request.alarm import Alarm
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.books import Books
from oxllm.core.request.effects import Action, Cancel, Try
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.phases import COMMITTED, DRAINING, ENDED
from oxllm.core.routing.route import Route
from oxllm.core.routing.ticket import Ticket

RUNNING_MAX: Final = 2
"""Attempts that may run side by side."""


class Race:
    """Begins and ends the attempts of one request: upstream, in the books, and in `running`."""

    __slots__ = ("_alarm", "_books", "_deadline", "_effects", "_facts", "_route", "running")

    def __init__(
        self, facts: RequestFacts, route: Route, books: Books, deadline: float, alarm: Alarm, effects: list[Action]
    ) -> None:
        """`deadline`: of the request, in loop time. Effects for the upstream are appended to `effects`."""
        self._facts = facts
        self._route = route
        self._books = books
        self._deadline = deadline
        self._alarm = alarm
        self._effects = effects
        self.running: list[Attempt] = []
        """Attempts whose response is read, oldest first. A winner whose answer is whole stays while it drains."""

    def __repr__(self) -> str:
        return f"<Race {self.running}>"

    @property
    def full(self) -> bool:
        """No other attempt may begin now."""
        return len(self.running) >= RUNNING_MAX

    @property
    def wake_at(self) -> float:
        """When the earliest clock of any attempt is due."""
        return min([attempt.wake_at for attempt in self.running], default=inf)

    def begin(self, ticket: Ticket, now: float, by_session: bool = False) -> None:
        """Ask a ticket's target. A hedge may start after half of the time that is left, or before: beside a probe
        after its provider's `patience`, else after the route's `hedge_after`."""
        books, route = self._books, self._route
        books.attempts += 1
        half = now + (self._deadline - now) / 2
        attempt = Attempt(books.attempts, ticket, self._facts, route, self._alarm, now, half, by_session)
        if ticket.probe:
            attempt.hedge_at = self._alarm.by(now + ticket.candidate.state.provider.patience)
        elif route.hedge_after is not None:
            attempt.hedge_at = self._alarm.by(now + route.hedge_after)
        self.running.append(attempt)
        self._effects.append(Try(attempt))

    def end(self, attempt: Attempt, result: Outcome, now: float, linger: bool = False) -> None:
        """An attempt is over for the client and the books. `linger`: its provider may still end its body."""
        books = self._books
        if attempt.reader.dropped:
            attempt.candidate.state.counters.dropped += attempt.reader.dropped
        books.end(attempt.ticket, result, now)
        books.note(attempt, result, now)
        if linger and attempt.phase is COMMITTED:
            attempt.linger(now)
        else:
            self._close(attempt)

    def cancel(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """End an attempt whose response is not read to its end."""
        self.end(attempt, result, now)
        self._effects.append(Cancel(attempt))

    def cancel_others(self, result: Outcome, now: float, winner: Attempt | None = None) -> None:
        """Cancel all but the winner."""
        for attempt in tuple(self.running):
            if attempt is not winner:
                self.cancel(attempt, result, now)

    def suspend(self, attempt: Attempt, result: Outcome, now: float) -> None:
        """End a failed attempt but keep its ticket open: its target is to be asked once more."""
        self._books.note(attempt, result, now)
        self._close(attempt)
        self._effects.append(Cancel(attempt))

    def finish_draining(self, attempt: Attempt) -> bool:
        """A response has ended, or has had its time to: if its attempt was only draining, close it. Returns whether
        the attempt is settled, so that nothing else follows."""
        if attempt.phase is DRAINING:
            self._close(attempt)
        return attempt.phase is ENDED

    def stop_draining(self) -> None:
        """Stop reading responses whose attempts are settled."""
        for attempt in self.running:
            attempt.close()
            self._effects.append(Cancel(attempt))
        self.running.clear()

    def _close(self, attempt: Attempt) -> None:
        attempt.close()
        self.running.remove(attempt)
