"""Routing: tiers, weights, reasons for every skip, the one probe, and what a reload keeps."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import msgspec
import pytest

from oxllm.core.breaker import BreakerState
from oxllm.core.outcome import GONE, LOST, SUCCESS, Cause, Kind, Outcome
from oxllm.core.routing import Candidate, Route, Router, Skip, Ticket
from oxllm.plan import HoldBack, Plan, Provider, Server, Target, Timeouts, VirtualModel


def provider(name: str, **settings: object) -> Provider:
    base = Provider(name=name, tls=True, host=f"{name}.example", port=443, path="/v1", models=("m",), api_key="k")
    return msgspec.structs.replace(base, **settings)


def virtual(name: str, *targets: str, **settings: object) -> VirtualModel:
    """Targets as "provider/model tier weight"."""
    parsed = []
    for text in targets:
        path, tier, weight = [*text.split(), "1", "1"][:3]
        of, model = path.split("/")
        parsed.append(Target(of, model, int(tier), int(weight)))
    return msgspec.structs.replace(VirtualModel(name, tuple(parsed)), **settings)


def plan(*models: VirtualModel, providers: Iterable[Provider] = (), **settings: object) -> Plan:
    names = sorted({target.provider for model in models for target in model.targets})
    given = tuple(providers) or tuple(provider(name) for name in names)
    return msgspec.structs.replace(Plan(providers=given, virtual_models=models), **settings)


def router(*models: VirtualModel, **settings: object) -> Router:
    return Router(plan(*models, **settings), random.Random(0))  # type: ignore[arg-type]


def route(subject: Router, name: str = "v") -> Route:
    found = subject.resolve(name)
    assert found is not None
    return found


def label(candidate: Candidate | None) -> str | None:
    return None if candidate is None else f"{candidate.state.provider.name}/{candidate.state.model}"


def choose(subject: Router, now: float = 0.0, name: str = "v", tried: Iterable[Candidate] = ()) -> str | None:
    return label(subject.choose(route(subject, name), {c.state for c in tried}, now)[0])


def skips(subject: Router, now: float = 0.0, name: str = "v") -> dict[str | None, Skip]:
    return {label(candidate): why for candidate, why in subject.choose(route(subject, name), set(), now)[1]}


def start(subject: Router, target: str, now: float = 0.0, name: str = "v") -> Ticket:
    candidate = next(c for c in route(subject, name).candidates if label(c) == target)
    return subject.begin(route(subject, name), candidate, (), now)


def turn(subject: Router, now: float = 0.0, name: str = "v") -> str | None:
    """One attempt that says nothing, at whom it is the turn of."""
    candidate = subject.choose(route(subject, name), (), now)[0]
    if candidate is not None:
        subject.end(subject.begin(route(subject, name), candidate, (), now), GONE, now)
    return label(candidate)


def run(subject: Router, target: str, outcome: Outcome, now: float = 0.0, times: int = 1) -> list[str]:
    texts = []
    for _ in range(times):
        texts += [change.text for change in subject.end(start(subject, target, now), outcome, now)]
    return texts


def of(kind: Kind, retry_after: float | None = None) -> Outcome:
    return Outcome(kind, "x", retry_after=retry_after)


BROKEN = of(Kind.SERVER_ERROR)
AB = ("a/m 1", "b/m 2")


def test_the_first_tier_is_chosen_while_it_is_usable() -> None:
    subject = router(virtual("v", *AB))
    assert [choose(subject) for _ in range(3)] == ["a/m"] * 3
    assert subject.choose(route(subject), set(), 0.0)[1] == ()


def test_tiers_go_by_number_not_by_place() -> None:
    assert choose(router(virtual("v", "b/m 7", "a/m 3"))) == "a/m"


def test_weights_are_met_smoothly() -> None:
    subject = router(virtual("v", "a/m 1 5", "b/m 1 1", "c/m 1 1"))
    order = [turn(subject) for _ in range(7)]
    assert order == ["a/m", "a/m", "b/m", "a/m", "c/m", "a/m", "a/m"]


def test_each_tier_is_balanced_on_its_own() -> None:
    subject = router(virtual("v", "a/m 1", "b/m 2 2", "c/m 2 1"))
    subject.offline("a")
    assert Counter(turn(subject) for _ in range(30)) == {"b/m": 20, "c/m": 10}


def test_weights_among_the_usable_hold_when_one_is_out() -> None:
    subject = router(virtual("v", "a/m 1 3", "b/m 1 2", "c/m 1 1"))
    subject.offline("a")
    assert Counter(turn(subject) for _ in range(30)) == {"b/m": 20, "c/m": 10}


def test_what_was_tried_is_passed_over_and_when_all_was_nothing_is_left() -> None:
    subject = router(virtual("v", *AB))
    first, second = route(subject).candidates
    assert choose(subject, tried=[first]) == "b/m"
    assert choose(subject, tried=[first, second]) is None
    assert subject.choose(route(subject), {first.state}, 0.0)[1] == [(first, Skip.TRIED)]


def test_a_target_listed_twice_is_tried_once() -> None:
    subject = router(virtual("v", "a/m 1", "a/m 2"))
    first = route(subject).candidates[0]
    assert choose(subject, tried=[first]) is None


def test_two_targets_on_one_provider_are_both_reachable() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    first = route(subject).candidates[0]
    assert choose(subject, tried=[first]) == "a/n"
    run(subject, "a/m", of(Kind.MISSING))
    assert choose(subject) == "a/n"


@pytest.mark.parametrize(
    ("outcome", "skip", "ends"),
    [
        (of(Kind.RATE_LIMITED), Skip.COOLING, 5.0),
        (of(Kind.RATE_LIMITED, 18.6), Skip.COOLING, 18.6),
        (of(Kind.SERVER_ERROR, 7.0), Skip.WAITING, 7.0),
        (of(Kind.QUOTA), Skip.QUOTA, 600.0),
        (of(Kind.AUTH), Skip.AUTH, 60.0),
        (of(Kind.MISSING), Skip.MISSING, 60.0),
        (of(Kind.LOADING), Skip.WAITING, 5.0),
        (of(Kind.LOADING, 20.0), Skip.WAITING, 20.0),
    ],
)
def test_an_outcome_keeps_its_target_out_for_its_time(outcome: Outcome, skip: Skip, ends: float) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", outcome)
    assert skips(subject, ends - 0.001) == {"a/m": skip}
    assert choose(subject, ends) == "a/m"


QUIET = {
    Kind.SUCCESS,
    Kind.BAD_ANSWER,
    Kind.TOO_LARGE,
    Kind.SERVER_ERROR,
    Kind.NETWORK,
    Kind.LOCAL,
    Kind.TIMEOUT,
    Kind.FORBIDDEN,
    Kind.NOT_FOUND,
    Kind.CONTEXT_LENGTH,
    Kind.UNSUPPORTED,
    Kind.CONTENT_REFUSED,
    Kind.FOREIGN_STATE,
    Kind.CLIENT_ERROR,
    Kind.BROKEN,
    Kind.GONE,
    Kind.DEADLINE,
    Kind.LOST,
    Kind.STOPPED,
    Kind.WITHHELD,
}


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind in QUIET])
def test_other_outcomes_leave_their_target_in(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    assert run(subject, "a/m", of(kind)) == []
    assert choose(subject) == "a/m"


COUNTED = {Kind.BAD_ANSWER, Kind.SERVER_ERROR, Kind.NETWORK, Kind.TIMEOUT, Kind.BROKEN}


@pytest.mark.parametrize("kind", Kind)
def test_three_failures_that_count_open_the_breaker_and_no_others_do(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", of(kind), times=3)
    is_open = subject.providers["a"].breaker.state(0.0) is BreakerState.OPEN
    assert is_open == (kind in COUNTED)


def test_a_deadline_counts_only_when_the_outcome_says_so() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", of(Kind.DEADLINE), times=5)
    assert choose(subject) == "a/m"
    run(subject, "a/m", Outcome(Kind.DEADLINE, "x", counts=True), times=3)
    assert skips(subject) == {"a/m": Skip.OPEN}


@pytest.mark.parametrize("kind", [Kind.RATE_LIMITED, Kind.CLIENT_ERROR, Kind.GONE, Kind.LOST, Kind.STOPPED, Kind.AUTH])
def test_what_does_not_count_does_not_end_a_row_of_failures_either(kind: Kind) -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", BROKEN, times=2)
    run(subject, "a/m", of(kind))
    assert run(subject, "a/m", BROKEN)[0].startswith("breaker closed -> open for ")


def test_quota_and_auth_concern_every_target_of_the_provider_and_a_429_does_not() -> None:
    for kind, passed_over in ((Kind.QUOTA, True), (Kind.AUTH, True), (Kind.RATE_LIMITED, False), (Kind.MISSING, False)):
        subject = router(virtual("v", "a/m 1", "a/n 2", "b/m 3"))
        run(subject, "a/m", of(kind))
        assert choose(subject) == ("b/m" if passed_over else "a/n")


def test_a_quota_of_one_model_is_held_against_that_alone() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", Outcome(Kind.QUOTA, "x", of_target=True))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.QUOTA}, "a/n")


def test_the_second_404_in_a_row_marks_the_target_and_a_403_between_them_begins_anew() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    for kind in (Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.NOT_FOUND):
        run(subject, "a/m", of(kind))
        assert choose(subject) == "a/m"
    run(subject, "a/m", of(Kind.NOT_FOUND))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.MISSING}, "a/n")


def test_a_model_that_is_not_ready_is_no_failure_of_its_host() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", of(Kind.LOADING), times=5)
    assert choose(subject) == "a/n"


def test_a_mark_is_known_through_every_name_of_its_target() -> None:
    subject = router(virtual("v", *AB), virtual("w", "b/m", "a/m"))
    run(subject, "b/m", of(Kind.RATE_LIMITED))
    assert skips(subject, name="w") == {"b/m": Skip.COOLING}
    assert skips(subject, name="b/m") == {"b/m": Skip.COOLING}


def test_the_second_403_in_a_row_marks_the_target_alone() -> None:
    subject = router(virtual("v", "a/m 1", "a/n 2"))
    run(subject, "a/m", of(Kind.FORBIDDEN))
    assert choose(subject) == "a/m"
    run(subject, "a/m", of(Kind.FORBIDDEN))
    assert (skips(subject), choose(subject)) == ({"a/m": Skip.AUTH}, "a/n")


@pytest.mark.parametrize(
    ("between", "marked"),
    [(SUCCESS, False), (of(Kind.CLIENT_ERROR), False), (BROKEN, False), (GONE, True), (LOST, True)],
)
def test_a_403_is_in_a_row_with_another_unless_an_answer_came_between(between: Outcome, marked: bool) -> None:
    subject = router(virtual("v", *AB))
    for outcome in (of(Kind.FORBIDDEN), between, of(Kind.FORBIDDEN)):
        run(subject, "a/m", outcome)
    assert (choose(subject) == "b/m") == marked


def test_a_full_bulkhead_passes_on_and_takes_in_again() -> None:
    subject = router(virtual("v", *AB), providers=[provider("a", max_in_flight=2), provider("b")])
    tickets = [start(subject, "a/m") for _ in range(2)]
    assert skips(subject) == {"a/m": Skip.FULL}
    subject.end(tickets[0], SUCCESS, 1.0)
    assert choose(subject) == "a/m"


def opened(*models: VirtualModel) -> tuple[Router, float]:
    """A router whose provider `a` is due for its probe at the moment returned."""
    subject = router(*models or (virtual("v", *AB),))
    run(subject, "a/m", BROKEN, times=3)
    return subject, subject.providers["a"].breaker.opens_until


def test_nothing_goes_to_an_open_provider() -> None:
    subject, now = opened()
    assert skips(subject, now - 0.001) == {"a/m": Skip.OPEN}


def test_exactly_one_request_is_the_probe() -> None:
    subject, now = opened()
    assert choose(subject, now) == "a/m"
    assert start(subject, "a/m", now).probe
    assert skips(subject, now) == {"a/m": Skip.PROBING}


def test_there_is_one_probe_a_provider_not_one_a_target() -> None:
    subject, now = opened(virtual("v", "a/m 1", "a/n 2", "b/m 3"))
    start(subject, "a/m", now)
    assert skips(subject, now) == {"a/m": Skip.PROBING, "a/n": Skip.PROBING}


def test_the_breaker_closes_on_trial_at_its_probes_head_and_one_failure_opens_it_again() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    assert [change.text for change in subject.answered(ticket, now)] == ["breaker probing -> closed"]
    assert choose(subject, now) == "a/m"
    assert subject.providers["a"].breaker.failures == 2
    subject.end(ticket, of(Kind.BROKEN), now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.OPEN


def test_a_whole_answer_ends_the_trial() -> None:
    subject, now = opened()
    ticket = start(subject, "a/m", now)
    subject.answered(ticket, now)
    subject.end(ticket, SUCCESS, now)
    assert subject.providers["a"].breaker.failures == 0


def test_the_head_of_what_is_no_probe_means_nothing() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", BROKEN, times=2)
    assert subject.answered(start(subject, "a/m"), 0.0) == ()
    assert subject.providers["a"].breaker.failures == 2


def test_each_two_seconds_of_probing_twice_as_many_may_probe() -> None:
    subject, now = opened(virtual("v", "a/m 1"))
    probes = []
    for seconds in (0.0, 1.9, 2.0, 4.1, 6.1):
        while choose(subject, now + seconds) is not None:
            probes.append(start(subject, "a/m", now + seconds))
        assert all(ticket.probe for ticket in probes)
        assert len(probes) == 2 ** int(seconds / 2)
    subject.end(probes[3], BROKEN, now + 7)
    assert subject.providers["a"].breaker.state(now + 7) is BreakerState.OPEN
    for ticket in probes[:3]:
        assert subject.end(ticket, SUCCESS, now + 7) == []


def test_what_may_be_the_requests_fault_counts_half_unless_another_target_does_otherwise() -> None:
    subject = router(virtual("v", *AB))
    breaker = subject.providers["a"].breaker
    run(subject, "a/m", BROKEN)
    ticket = start(subject, "a/m")
    subject.end(ticket, BROKEN, 0.0)
    subject.excuse(ticket, 0.0)
    assert breaker.halves == 3
    subject.confirm(ticket, 0.0)
    assert breaker.halves == 4


def test_an_excuse_closes_again_what_its_failure_has_opened_and_nothing_else() -> None:
    subject = router(virtual("v", *AB))
    breaker = subject.providers["a"].breaker
    run(subject, "a/m", BROKEN, times=2)
    other, last = start(subject, "a/m"), start(subject, "a/m")
    assert subject.end(last, BROKEN, 0.0)
    assert [change.text for change in subject.excuse(last, 0.0)] == ["breaker open -> closed"]
    assert (breaker.halves, breaker.failures) == (5, 2)
    subject.end(other, BROKEN, 0.0)
    assert breaker.halves == 5, "it began in an older generation"
    final = start(subject, "a/m")
    subject.end(final, BROKEN, 0.0)
    assert breaker.opens_until <= 5.5, "the cool-off that did not last has doubled nothing"
    subject.excuse(last, 0.0)
    subject.excuse(final, 0.0)
    assert breaker.state(0.0) is BreakerState.OPEN, "half of it was enough"


@pytest.mark.parametrize("kind", [Kind.AUTH, Kind.QUOTA, Kind.FORBIDDEN])
def test_an_answer_to_an_old_key_does_not_mark_the_new_one(kind: Kind) -> None:
    models = virtual("v", *AB)
    subject = router(models)
    old = [start(subject, "a/m") for _ in range(2)]
    renewed = (provider("a", api_key="new"), provider("b"))
    fresh = Router(plan(models, providers=renewed), random.Random(0), subject)
    for ticket in old:
        fresh.end(ticket, of(kind), 1.0)
    assert skips(fresh, 1.0) == {}
    for _ in range(2):
        run(fresh, "a/m", of(kind), 2.0)
    assert skips(fresh, 2.0) != {}


def test_a_probe_that_succeeds_without_a_commit_closes_too() -> None:
    subject, now = opened()
    assert run(subject, "a/m", SUCCESS, now) == ["breaker probing -> closed"]


def test_a_probe_that_fails_opens_again() -> None:
    subject, now = opened()
    assert run(subject, "a/m", BROKEN, now)[0].startswith("breaker probing -> open for ")


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in COUNTED | {Kind.SUCCESS}])
def test_a_probe_that_says_nothing_of_the_host_is_given_back(kind: Kind) -> None:
    subject, now = opened()
    run(subject, "a/m", of(kind), now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.HALF_OPEN
    later = now + 600
    assert start(subject, "a/m", later).probe


def test_a_beaten_probe_doubles_the_patience_for_the_next_up_to_first_byte() -> None:
    models = virtual("v", *AB)
    targets = tuple(msgspec.structs.replace(t, timeouts=Timeouts(first_byte=10.0)) for t in models.targets)
    subject, now = opened(msgspec.structs.replace(models, targets=targets))
    seen = []
    for _ in range(5):
        seen.append(subject.providers["a"].patience)
        run(subject, "a/m", LOST, now)
    assert seen == [2.0, 4.0, 8.0, 10.0, 10.0]
    subject.answered(start(subject, "a/m", now), now)
    assert subject.providers["a"].patience == 2.0


@pytest.mark.parametrize("outcome", [GONE, of(Kind.RATE_LIMITED), BROKEN])
def test_other_ends_of_a_probe_leave_the_patience(outcome: Outcome) -> None:
    subject, now = opened()
    run(subject, "a/m", outcome, now)
    assert subject.providers["a"].patience == 2.0


def test_a_lost_hedge_that_is_no_probe_leaves_the_patience() -> None:
    subject = router(virtual("v", *AB))
    run(subject, "a/m", LOST)
    assert subject.providers["a"].patience == 2.0


def test_results_from_before_the_outage_move_nothing() -> None:
    subject = router(virtual("v", *AB))
    old = [start(subject, "a/m") for _ in range(4)]
    run(subject, "a/m", BROKEN, times=3)
    now = subject.providers["a"].breaker.opens_until
    subject.end(old[0], SUCCESS, now)
    assert subject.providers["a"].breaker.state(now) is BreakerState.HALF_OPEN
    run(subject, "a/m", SUCCESS, now)
    for ticket in old[1:]:
        assert subject.end(ticket, BROKEN, now) == []
    assert choose(subject, now) == "a/m"


def test_a_second_try_goes_ahead_on_its_ticket_and_counts_once() -> None:
    subject = router(virtual("v", *AB))
    for _ in range(2):
        ticket = start(subject, "a/m")
        assert subject.repeat(ticket, 0.1) is None
        subject.end(ticket, BROKEN, 0.2)
    assert subject.providers["a"].breaker.failures == 2
    totals = subject.snapshot(0.0).providers[0].totals
    assert (totals.attempts, totals.retries, totals.failures[Cause.CAPACITY]) == (4, 2, 2)


def test_a_second_try_is_refused_when_its_target_is_out_meanwhile() -> None:
    subject = router(virtual("v", *AB))
    ticket, cooled, offline = start(subject, "a/m"), start(subject, "b/m"), start(subject, "b/m")
    run(subject, "a/m", BROKEN, times=3)
    assert subject.repeat(ticket, 0.1) is Skip.OPEN
    assert subject.repeat(ticket, 1e6) is Skip.OPEN
    run(subject, "b/m", of(Kind.RATE_LIMITED))
    assert subject.repeat(cooled, 0.1) is Skip.COOLING
    subject.offline("b")
    assert subject.repeat(offline, 1e6) is Skip.OFFLINE


def test_the_probe_itself_may_be_tried_again() -> None:
    subject, now = opened()
    assert subject.repeat(start(subject, "a/m", now), now) is None


def test_a_success_that_used_up_its_limit_cools_its_target() -> None:
    subject = router(virtual("v", *AB))
    changes = subject.predicted(start(subject, "a/m"), 30.0, 0.0)
    assert [change.text for change in changes] == ["rate-limited: not asked for 30.0 s"]
    assert skips(subject, 29.9) == {"a/m": Skip.COOLING}


def test_prediction_never_cools_the_last_usable_target_of_a_virtual_model() -> None:
    subject = router(virtual("v", *AB))
    subject.predicted(start(subject, "a/m"), 30.0, 0.0)
    assert subject.predicted(start(subject, "b/m"), 30.0, 0.0) == ()
    assert choose(subject) == "b/m"


def test_prediction_looks_at_every_virtual_model_that_lists_the_target() -> None:
    subject = router(virtual("v", *AB), virtual("alone", "a/m"))
    assert subject.predicted(start(subject, "a/m"), 30.0, 0.0) == ()
    assert subject.predicted(start(subject, "b/m"), 30.0, 0.0) != ()


def test_prediction_never_cools_the_last_target_that_speaks_a_protocol() -> None:
    providers = (provider("a", protocols=("chat", "messages")), provider("b", protocols=("chat",)))
    subject = router(virtual("v", *AB), providers=providers)
    assert subject.predicted(start(subject, "a/m"), 30.0, 0.0) == ()
    assert subject.predicted(start(subject, "b/m"), 30.0, 0.0) != ()


def test_prediction_does_not_lean_on_a_target_that_is_out_half_open_or_itself() -> None:
    for out in ("offline", "half-open", "itself"):
        targets = ("a/m 1", "b/m 1") if out == "itself" else ("b/m 1", "a/m 2")
        subject = router(virtual("v", *(("b/m 1", "b/m 2") if out == "itself" else targets), "c/m 3"))
        subject.offline("c")
        now = 0.0
        if out == "offline":
            subject.offline("a")
        if out == "half-open":
            run(subject, "a/m", BROKEN, times=3)
            now = 10.0
        assert subject.predicted(start(subject, "b/m", now), 30.0, now) == ()


def test_prediction_leaves_a_target_that_only_direct_names_reach() -> None:
    subject = router(virtual("v", *AB), providers=[provider("a", models=("m", "x")), provider("b")])
    assert subject.predicted(start(subject, "a/x", name="a/x"), 30.0, 0.0) == ()


def test_prediction_can_be_switched_off() -> None:
    subject = router(virtual("v", *AB), server=Server(predictive_cooldown=False))
    assert subject.predicted(start(subject, "a/m"), 30.0, 0.0) == ()


def test_a_name_is_a_virtual_model_or_a_listed_model_of_a_provider() -> None:
    listed = [provider("a", models=("m", "org/big")), provider("b", models=())]
    subject = router(virtual("v", *AB), virtual("a/m", "b/m"), providers=listed, request=77.0)
    assert choose(subject, name="a/org/big") == "a/org/big"
    assert choose(subject, name="a/m") == "b/m"
    assert route(subject, "a/org/big").request == 77.0
    assert [subject.resolve(name) for name in ("b/m", "a/x", "x", "")] == [None] * 4


def test_a_route_carries_the_settings_of_its_virtual_model() -> None:
    held = HoldBack(tokens=20)
    found = route(router(virtual("v", *AB, hedge_after=4.0, request=9.0, hold_back=held)))
    assert (found.name, found.hedge_after, found.request, found.hold_back) == ("v", 4.0, 9.0, held)


def test_a_virtual_model_without_targets_has_nothing_to_choose() -> None:
    subject = router(virtual("v"), providers=[provider("a")])
    assert subject.choose(route(subject), set(), 0.0) == (None, ())
    assert subject.recovery(route(subject), 0.0) == (None, [])


def test_close_names_are_offered_for_one_that_does_not_exist() -> None:
    models = [virtual(name, "a/m") for name in ("smart", "smarter", "fast", "embed")]
    subject = router(*models, providers=[provider("a", models=("gpt-4o-mini", "gpt-4o"))])
    assert subject.similar("Smrt") == ["smart", "smarter"]
    assert subject.similar("gpt-4o-mini")[0] == "a/gpt-4o-mini"
    assert subject.similar("zzz") == []
    assert subject.similar("") == []
    assert subject.similar("s" * 10_000_000) == []


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("gtp4", "gpt4"), ("gp4", "gpt4"), ("gpt", "gpt4"), ("cluade", "claude"), ("smatr", "smart"), ("gpt5", "gpt4")],
)
def test_letters_that_changed_places_are_close_even_in_a_short_name(wanted: str, meant: str) -> None:
    subject = router(
        virtual("gpt4", "a/m"), virtual("claude", "a/m"), virtual("smart", "a/m"), providers=[provider("a")]
    )
    assert subject.similar(wanted) == [meant]


def test_models_lists_names_with_a_healthy_target_sorted() -> None:
    subject = router(virtual("v", *AB), virtual("alone", "b/m"))
    assert subject.models(0.0) == ["a/m", "alone", "b/m", "v"]
    run(subject, "b/m", of(Kind.RATE_LIMITED))
    assert subject.models(0.0) == ["a/m", "v"]
    assert subject.models(0.0, all=True) == ["a/m", "alone", "b/m", "v"]


def test_half_open_and_full_are_healthy_and_open_offline_or_marked_are_not() -> None:
    subject, now = opened(virtual("v", "a/m"))
    assert subject.models(now - 1) == []
    assert subject.models(now) == ["a/m", "v"]
    ticket = start(subject, "a/m", now)
    assert subject.models(now) == ["a/m", "v"]
    subject.end(ticket, SUCCESS, now)
    subject.offline("a")
    assert subject.models(now) == []


def test_recovery_is_the_soonest_of_those_that_time_cures() -> None:
    subject = router(virtual("v", "a/m 1", "b/m 2", "c/m 3"))
    run(subject, "a/m", of(Kind.RATE_LIMITED, 40.0))
    run(subject, "b/m", of(Kind.SERVER_ERROR, 20.0))
    subject.offline("c")
    soonest, states = subject.recovery(route(subject), 10.0)
    assert soonest == 10.0
    assert [(label(c), skip, left) for c, skip, left in states] == [
        ("a/m", Skip.COOLING, 30.0),
        ("b/m", Skip.WAITING, 10.0),
        ("c/m", Skip.OFFLINE, None),
    ]


@pytest.mark.parametrize("kind", [Kind.QUOTA, Kind.AUTH, Kind.MISSING])
def test_a_mark_that_somebody_has_to_cure_is_no_recovery(kind: Kind) -> None:
    subject = router(virtual("v", "a/m"))
    run(subject, "a/m", of(kind))
    soonest, states = subject.recovery(route(subject), 1.0)
    assert soonest is None
    assert states[0][2] == (599.0 if kind is Kind.QUOTA else 59.0)


def test_a_hint_of_over_a_minute_is_out_of_reach() -> None:
    subject = router(virtual("v", "a/m"))
    run(subject, "a/m", of(Kind.RATE_LIMITED, 60.5))
    assert subject.recovery(route(subject), 0.0)[0] is None
    assert subject.recovery(route(subject), 0.5)[0] == 60.0


def test_recovery_waits_for_both_breaker_and_cooldown() -> None:
    subject, opens = opened(virtual("v", "a/m"))
    subject.providers["a"].targets["m"].cooldown.mark(Skip.COOLING, 0.0, 50.0)
    assert subject.recovery(route(subject), 0.0)[0] == 50.0
    assert opens < 50.0


def test_recovery_of_what_is_usable_is_now_and_of_a_probe_or_a_full_one_is_soon() -> None:
    subject = router(virtual("v", "a/m"), providers=[provider("a", max_in_flight=1)])
    assert subject.recovery(route(subject), 0.0)[0] == 0.0
    start(subject, "a/m")
    assert subject.recovery(route(subject), 0.0)[0] == 1.0
    probing, now = opened(virtual("v", "a/m"))
    start(probing, "a/m", now)
    assert probing.recovery(route(probing), now)[0] == 1.0


def test_usable_says_whether_anything_untried_is_left() -> None:
    subject = router(virtual("v", *AB))
    first, second = route(subject).candidates
    assert subject.usable(route(subject), 0.0)
    assert subject.usable(route(subject), 0.0, {first.state})
    assert not subject.usable(route(subject), 0.0, {first.state, second.state})


def test_the_operator_takes_out_brings_back_and_resets() -> None:
    subject = router(virtual("v", *AB))
    assert subject.offline("a")
    assert skips(subject) == {"a/m": Skip.OFFLINE}
    assert subject.online("a")
    assert choose(subject) == "a/m"
    for kind in (Kind.QUOTA, Kind.MISSING):
        run(subject, "a/m", of(kind))
        assert subject.reset("a")
    run(subject, "a/m", BROKEN, times=3)
    assert subject.reset("a")
    assert choose(subject) == "a/m"
    assert not any((subject.offline("x"), subject.online("x"), subject.reset("x")))


def test_what_ends_after_offline_moves_nothing_but_leaves_the_bulkhead() -> None:
    subject = router(virtual("v", *AB))
    tickets = [start(subject, "a/m") for _ in range(3)]
    subject.offline("a")
    for ticket in tickets:
        subject.end(ticket, BROKEN, 1.0)
    subject.online("a")
    assert (choose(subject), subject.providers["a"].in_flight) == ("a/m", 0)


def test_a_ticket_ends_once() -> None:
    subject = router(virtual("v", *AB))
    ticket = start(subject, "a/m")
    subject.end(ticket, SUCCESS, 0.0)
    with pytest.raises(AssertionError):
        subject.end(ticket, SUCCESS, 0.0)


def reloaded(subject: Router, *models: VirtualModel, **settings: object) -> Router:
    return Router(plan(*models, **settings), random.Random(0), subject)  # type: ignore[arg-type]


def test_a_reload_keeps_what_is_known_of_a_provider_at_the_same_place() -> None:
    subject, now = opened()
    run(subject, "b/m", of(Kind.RATE_LIMITED, 100.0))
    under_way = start(subject, "a/m", now)
    after = reloaded(subject, virtual("v", "b/m", "a/m"))
    assert skips(after, now) == {"b/m": Skip.COOLING, "a/m": Skip.PROBING}
    subject.end(under_way, SUCCESS, now)
    assert choose(after, now) == "a/m"
    assert after.snapshot(now).providers[0].totals.attempts == 4


def test_a_reload_to_another_place_starts_afresh() -> None:
    subject = router(virtual("v", *AB))
    subject.offline("a")
    after = reloaded(subject, virtual("v", *AB), providers=[provider("a", host="other.example"), provider("b")])
    assert choose(after) == "a/m"
    subject.end(start(subject, "b/m"), SUCCESS, 0.0)


def test_a_changed_key_clears_auth_and_quota_and_nothing_else() -> None:
    for kind, cleared in ((Kind.QUOTA, True), (Kind.AUTH, True), (Kind.MISSING, False), (Kind.RATE_LIMITED, False)):
        subject = router(virtual("v", *AB))
        run(subject, "a/m", of(kind))
        same = reloaded(subject, virtual("v", *AB))
        assert choose(same) == "b/m"
        after = reloaded(same, virtual("v", *AB), providers=[provider("a", api_key="new"), provider("b")])
        assert choose(after) == ("a/m" if cleared else "b/m")


def test_a_request_under_way_keeps_the_configuration_it_started_with() -> None:
    subject = router(virtual("v", *AB))
    candidate = route(subject).candidates[0]
    reloaded(subject, virtual("v", *AB), providers=[provider("a", api_key="new"), provider("b")])
    assert candidate.plan.api_key == "k"
    assert candidate.state.provider.plan.api_key == "new"


def test_a_target_that_was_dropped_keeps_its_marks_and_counts_for_when_it_comes_back() -> None:
    subject = router(virtual("v", "a/m", "a/n"))
    run(subject, "a/n", of(Kind.RATE_LIMITED, 100.0))
    without = reloaded(subject, virtual("v", "a/m"))
    assert without.snapshot(0.0).providers[0].totals.attempts == 1
    again = reloaded(without, virtual("v", "a/n"))
    assert skips(again) == {"a/n": Skip.COOLING}


def test_prediction_after_a_reload_goes_by_the_new_virtual_models() -> None:
    subject = router(virtual("v", *AB))
    ticket = start(subject, "a/m")
    reloaded(subject, virtual("v", "a/m"))
    assert subject.predicted(ticket, 30.0, 0.0) == ()


def test_counters_of_requests_live_on_by_name() -> None:
    subject = router(virtual("v", *AB))
    route(subject).counters.begin()
    after = reloaded(subject, virtual("v", "b/m"), virtual("w", "b/m"))
    assert after.snapshot(0.0).requests["v"].in_flight == 1
    assert after.snapshot(0.0).requests["w"].in_flight == 0


def test_a_snapshot_tells_everything_and_does_not_change() -> None:
    subject, now = opened()
    start(subject, "b/m", now)
    before = subject.snapshot(now - 1)
    a, b = before.providers
    assert (a.state, a.in_flight, b.in_flight) == ("open", 0, 1)
    assert a.open_seconds == pytest.approx(1.0)
    assert a.targets[0].skip == "breaker open"
    assert (b.targets[0].skip, b.targets[0].seconds) == (None, 0.0)
    assert a.totals.failures[Cause.CAPACITY] == 3
    assert a.moves == {("closed", "open"): 1}
    run(subject, "a/m", SUCCESS, now)
    assert a.totals.successes == 0


# Protocols.


def test_only_targets_whose_provider_speaks_the_protocol_are_candidates() -> None:
    providers = (provider("a", protocols=("chat",)), provider("b", protocols=("chat", "messages")))
    whole = route(router(virtual("v", "a/m", "b/m"), providers=providers))
    assert whole.speaking("chat") is whole
    assert whole.speaking("embeddings") is None
    part = whole.speaking("messages")
    assert part is not None
    assert part is whole.speaking("messages")
    assert part.candidates == whole.candidates[1:]
    assert part.counters is whole.counters
