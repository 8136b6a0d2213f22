"""The routes of a configuration: names, what an operator says, what a reload keeps."""

from __future__ import annotations

import random

from oxllm.core.reading.outcome import SUCCESS, Kind
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.router import Router
from oxllm.core.routing.targets import DROPPED_MAX
from oxllm.plan import HoldBack, VirtualModel
from tests.support.effort import passes
from tests.support.routers import (
    AB,
    BROKEN,
    choose,
    of,
    opened,
    plan,
    provider,
    route,
    router,
    run,
    skips,
    start,
    virtual,
)


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
    subject.results.end(ticket, SUCCESS, now)
    subject.offline("a")
    assert subject.models(now) == []


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


def reloaded(subject: Router, *models: VirtualModel, **settings: object) -> Router:
    return Router(plan(*models, **settings), random.Random(0), subject)  # type: ignore[arg-type]


def test_a_reload_keeps_what_is_known_of_a_provider_at_the_same_place() -> None:
    subject, now = opened()
    run(subject, "b/m", of(Kind.RATE_LIMITED, 100.0))
    under_way = start(subject, "a/m", now)
    after = reloaded(subject, virtual("v", "b/m", "a/m"))
    assert skips(after, now) == {"b/m": Skip.COOLING, "a/m": Skip.PROBING}
    subject.results.end(under_way, SUCCESS, now)
    assert choose(after, now) == "a/m"
    assert after.providers["a"].totals.attempts == 4


def test_a_target_that_a_reload_dropped_is_asked_for_nothing_and_is_known_again_when_it_comes_back() -> None:
    only_m = [provider("a", models=("m",)), provider("b")]
    subject = router(virtual("v", "a/m", "a/old"))
    run(subject, "a/old", of(Kind.MISSING))
    run(subject, "a/m", of(Kind.RATE_LIMITED, 100.0))
    after = reloaded(subject, virtual("v", "a/m"), providers=only_m)
    assert [target.model for target in after.providers["a"].current_targets] == ["m"]
    assert after.providers["a"].totals.attempts == 2, "its provider has made them all the same"
    assert [one.state.model for one in after.keepers("chat", 0.0).candidates if one.plan.name == "a"] == ["m"]
    again = reloaded(after, virtual("v", "a/m", "a/old"))
    assert skips(again)["a/old"] is Skip.MISSING


def test_a_reload_to_another_place_starts_afresh() -> None:
    subject = router(virtual("v", *AB))
    subject.offline("a")
    after = reloaded(subject, virtual("v", *AB), providers=[provider("a", host="other.example"), provider("b")])
    assert choose(after) == "a/m"
    subject.results.end(start(subject, "b/m"), SUCCESS, 0.0)


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
    assert without.providers["a"].totals.attempts == 1
    again = reloaded(without, virtual("v", "a/n"))
    assert skips(again) == {"a/n": Skip.COOLING}


def test_of_the_targets_that_reloads_have_dropped_so_many_are_known() -> None:
    subject = router(virtual("v", "a/m"))
    waits = start(subject, "a/m")
    for number in range(DROPPED_MAX + 9):
        subject = reloaded(subject, virtual("v", f"a/n{number}"), providers=[provider("a", models=("m",))])
        run(subject, f"a/n{number}", SUCCESS)
    subject = reloaded(subject, virtual("v", "a/m"), providers=[provider("a", models=("m",))])
    known = subject.providers["a"].targets
    assert len(known) == DROPPED_MAX + 1
    assert ("n8" in known, "n9" in known) == (False, True)
    subject.results.end(waits, SUCCESS, 0.0)
    totals = subject.providers["a"].totals
    assert (totals.attempts, totals.successes) == (DROPPED_MAX + 10, DROPPED_MAX + 10)


def test_a_dropped_target_is_known_while_one_of_its_attempts_is_under_way() -> None:
    subject = router(virtual("v", "a/old"))
    waits = start(subject, "a/old")
    for number in range(DROPPED_MAX + 9):
        subject = reloaded(subject, virtual("v", f"a/n{number}"))
    assert "old" in subject.providers["a"].targets
    subject.results.end(waits, SUCCESS, 0.0)
    assert subject.providers["a"].totals.successes == 1


def test_prediction_after_a_reload_goes_by_the_new_virtual_models() -> None:
    subject = router(virtual("v", *AB))
    ticket = start(subject, "a/m")
    reloaded(subject, virtual("v", "a/m"))
    assert subject.results.predicted(ticket, 30.0, 0.0) == ()


def test_counters_of_requests_live_on_by_name() -> None:
    subject = router(virtual("v", *AB))
    route(subject).counters.begin()
    after = reloaded(subject, virtual("v", "b/m"), virtual("w", "b/m"))
    assert after.counters["v"].in_flight == 1
    assert after.counters["w"].in_flight == 0


def test_what_is_known_of_a_provider_with_thousands_of_models_is_told_in_little_time() -> None:
    models = tuple(f"m{number}" for number in range(4000))
    subject = router(providers=[provider("a", models=models)])
    assert passes(lambda: subject.keepers("chat", 0.0)) < 5
    assert len(subject.providers["a"].current_targets) == 4000


def test_a_target_has_each_set_of_targets_that_it_is_listed_with_once() -> None:
    subject = router(*(virtual(f"v{number}", *AB) for number in range(9)), virtual("alone", "a/m"))
    assert sorted(map(len, subject.providers["a"].targets["m"].listings)) == [1, 2]
    assert sorted(map(len, subject.providers["b"].targets["m"].listings)) == [2]
