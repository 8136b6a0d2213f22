"""The attempts that are under way: how they begin, how each way to end one leaves the books, the ticket and itself."""

from __future__ import annotations

import random
from math import inf

from oxllm import plan as plans
from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.reading.outcome import GONE, LOST, SUCCESS, Kind, Outcome
from oxllm.core.request.alarm import Alarm
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.books import Books
from oxllm.core.request.effects import Action, Cancel, Try
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.phases import AttemptPhase
from oxllm.core.request.race import Race
from oxllm.core.routing.route import Route
from oxllm.core.routing.router import Router
from tests.support.by_hand import EVENT_STREAM, WALL, make_plan
from tests.support.chat_bytes import DONE, FINISH, token

NOW = 1000.0
FAILED = Outcome(Kind.NETWORK, "connection reset")


class Raced:
    """A race with all that it stands on."""

    def __init__(self, hedge_after: float | None = None, deadline: float = NOW + 100.0) -> None:
        plan = make_plan("alpha", "beta", "gamma", hedge_after=hedge_after)
        self.router = Router(plan, random.Random(1))
        route = self.router.resolve("smart")
        assert route is not None
        self.route: Route = route
        self.effects: list[Action] = []
        self.alarm = Alarm()
        self.books = Books(self.router, NOW)
        facts = RequestFacts(chat.PROTOCOL, chat.PROTOCOL.endpoints[0], Asked(True))
        self.race = Race(facts, route, self.books, deadline, self.alarm, self.effects)

    @property
    def wanted(self) -> list[tuple[type[Action], Attempt]]:
        """What it wants done so far."""
        return [(type(effect), effect.attempt) for effect in self.effects if isinstance(effect, Try | Cancel)]

    def begin(self) -> Attempt:
        candidate = self.books.choose(self.route, None, NOW)
        assert candidate is not None
        self.race.begin(self.books.begin(self.route, candidate, NOW), NOW)
        return self.race.running[-1]

    def committed(self) -> Attempt:
        attempt = self.begin()
        attempt.connected(NOW)
        attempt.head(200, EVENT_STREAM, NOW, WALL)
        attempt.data(token("a"), NOW)
        attempt.commit(NOW)
        return attempt


def test_attempts_are_numbered_and_begin_with_an_effect() -> None:
    raced = Raced()
    first, second = raced.begin(), raced.begin()
    assert (first.number, second.number, raced.books.attempts) == (1, 2, 2)
    assert raced.wanted == [(Try, first), (Try, second)]
    assert raced.race.full


def test_another_may_begin_beside_it_at_half_of_the_time_or_when_the_route_has_it() -> None:
    attempt = Raced(deadline=NOW + 60.0).begin()
    assert (attempt.share_at, attempt.hedge_at) == (NOW + 30.0, inf)
    assert Raced(hedge_after=4.0).begin().hedge_at == NOW + 4.0


def test_beside_a_probe_when_that_takes_longer_than_probes_may() -> None:
    raced = Raced(hedge_after=50.0)
    provider = raced.router.providers["alpha"]
    provider.patience = 7.0
    for _ in range(plans.Breaker().failures):
        provider.breaker.failure(provider.breaker.generation, NOW - 900.0, random.Random(1))
    attempt = raced.begin()
    assert attempt.ticket.probe
    assert attempt.hedge_at == NOW + 7.0


def test_the_alarm_is_set_to_the_first_clock() -> None:
    raced = Raced(hedge_after=3.0)
    attempt = raced.begin()
    assert raced.alarm.at == raced.race.wake_at == attempt.hedge_at
    assert Raced().race.wake_at == inf


def test_one_that_ends_is_settled_and_one_that_is_cancelled_is_stopped_too() -> None:
    raced = Raced()
    first, second = raced.begin(), raced.begin()
    raced.race.end(first, FAILED, NOW + 1)
    assert (first.phase, first.ticket.ended, raced.race.running) == (AttemptPhase.ENDED, True, [second])
    assert (Cancel, first) not in raced.wanted
    raced.race.cancel(second, FAILED, NOW + 1)
    assert raced.wanted[-1] == (Cancel, second)
    assert (second.ticket.ended, raced.race.running) == (True, [])
    assert [step.result for step in raced.books.steps] == ["connection reset"] * 2


def test_one_that_is_suspended_keeps_its_ticket() -> None:
    raced = Raced()
    attempt = raced.begin()
    raced.race.suspend(attempt, FAILED, NOW + 1)
    assert raced.wanted[-1] == (Cancel, attempt)
    assert (attempt.phase, attempt.ticket.ended, raced.race.running) == (AttemptPhase.ENDED, False, [])
    assert len(raced.books.steps) == 1


def test_all_but_the_winner_are_cancelled_or_all() -> None:
    raced = Raced()
    first, second = raced.begin(), raced.begin()
    raced.race.cancel_others(LOST, NOW, winner=second)
    assert (raced.race.running, raced.wanted[2:]) == ([second], [(Cancel, first)])
    raced.race.cancel_others(GONE, NOW)
    assert (raced.race.running, raced.wanted[3:]) == ([], [(Cancel, second)])


def test_a_winner_may_linger_and_is_then_ended_without_a_second_result() -> None:
    raced = Raced()
    attempt = raced.committed()
    attempt.data(FINISH + DONE, NOW)
    raced.race.end(attempt, SUCCESS, NOW, linger=True)
    assert (attempt.phase, attempt.ticket.ended, raced.race.running) == (AttemptPhase.DRAINING, True, [attempt])
    assert raced.race.finish_draining(attempt)
    assert (attempt.phase, raced.race.running, len(raced.books.steps)) == (AttemptPhase.ENDED, [], 1)
    assert raced.race.finish_draining(attempt), "it stays so"


def test_what_was_not_committed_to_does_not_linger() -> None:
    raced = Raced()
    attempt = raced.begin()
    assert not raced.race.finish_draining(attempt)
    raced.race.end(attempt, SUCCESS, NOW, linger=True)
    assert (attempt.phase, raced.race.running) == (AttemptPhase.ENDED, [])


def test_draining_can_be_stopped() -> None:
    raced = Raced()
    attempt = raced.committed()
    raced.race.end(attempt, SUCCESS, NOW, linger=True)
    raced.race.stop_draining()
    assert (attempt.phase, raced.race.running, raced.wanted[-1]) == (AttemptPhase.ENDED, [], (Cancel, attempt))


def test_events_that_were_dropped_are_counted_at_the_target() -> None:
    raced = Raced()
    attempt = raced.committed()
    attempt.data(b'data: {"type":"ping"}\n\n', NOW)
    raced.race.end(attempt, SUCCESS, NOW)
    assert attempt.candidate.state.counters.dropped == 1
