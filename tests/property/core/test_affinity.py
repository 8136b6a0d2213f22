"""Sessions are spread by weight, and only those move whose target has gone."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.routing.affinity import session_number
from oxllm.core.routing.route import Route
from oxllm.core.routing.router import Router
from tests.property.effort import examples
from tests.support.routers import plan, virtual

SESSIONS = 16_000
WEIGHTS = st.lists(st.integers(1, 9), min_size=2, max_size=6)
NAMES = st.lists(st.text("abcdef-", min_size=1, max_size=12), min_size=6, max_size=6, unique=True)


def sessions(seed: int, count: int = SESSIONS) -> list[int]:
    """Of clients that name them by a number, by a UUID, or by a long text with one in it."""
    rng = random.Random(seed)
    kinds = [
        lambda i: b"%d" % i,
        lambda i: b"%032x" % rng.getrandbits(128),
        lambda i: b"user_0a1b_account_2c3d_session_%016x" % rng.getrandbits(64),
    ]
    return [session_number(b"key-%d" % (i % 3), kinds[i % 3](i)) for i in range(count)]


def router(names: list[str], weights: list[int], previous: Router | None = None) -> Router:
    targets = [f"{name}/m 1 {weight}" for name, weight in zip(names, weights, strict=False)]
    return Router(plan(virtual("v", *targets)), random.Random(0), previous)


def route(subject: Router) -> Route:
    found = subject.resolve("v")
    assert found is not None
    return found


def chosen(subject: Router, session: int, now: float = 0.0, without: str = "") -> str:
    at = route(subject)
    gone = {candidate.state for candidate in at.candidates if candidate.plan.name == without}
    found, _, _ = subject.balancer.prefer(at, gone, now, session)
    assert found is not None
    return found.plan.name


@examples(5, nightly=60)  # each asks for 16,000 sessions
@given(NAMES, WEIGHTS, st.integers(0, 2**32))
def test_sessions_are_spread_by_weight_within_two_percent(names: list[str], weights: list[int], seed: int) -> None:
    subject = router(names, weights)
    counts = Counter(chosen(subject, session) for session in sessions(seed))
    for name, weight in zip(names, weights, strict=False):
        assert abs(counts[name] / SESSIONS - weight / sum(weights)) < 0.02


@examples(5, nightly=60)  # each asks for 16,000 sessions
@given(NAMES, WEIGHTS, st.integers(0, 2**32), st.data())
def test_only_what_was_on_a_target_that_left_moves_and_by_weight(
    names: list[str], weights: list[int], seed: int, data: st.DataObject
) -> None:
    subject = router(names, weights)
    gone = data.draw(st.integers(0, len(weights) - 1), "who leaves")
    moved: Counter[str] = Counter()
    for session in sessions(seed):
        before, after = chosen(subject, session), chosen(subject, session, without=names[gone])
        assert (before == after) == (before != names[gone])
        if before != after:
            moved[after] += 1
    left = sum(weights) - weights[gone]
    for name, weight in zip(names, weights, strict=False):
        if name != names[gone] and moved.total() > 5000:
            assert abs(moved[name] / moved.total() - weight / left) < 0.03


@given(NAMES, WEIGHTS, st.binary(max_size=40), st.binary(max_size=40), st.randoms(use_true_random=False))
def test_a_session_stays_after_a_restart_a_reload_and_a_change_of_order(
    names: list[str], weights: list[int], client: bytes, session: bytes, rng: random.Random
) -> None:
    number = session_number(client, session)
    subject = router(names, weights)
    before = chosen(subject, number)
    assert chosen(router(names, weights), number) == before
    assert chosen(router(names, weights, subject), number) == before
    pairs = list(zip(names, weights, strict=False))
    rng.shuffle(pairs)
    assert chosen(router([name for name, _ in pairs], [weight for _, weight in pairs]), number) == before


@given(NAMES, WEIGHTS, st.integers(0, 2**32 - 1))
def test_a_session_comes_back_to_its_own_when_that_can_be_asked_again(
    names: list[str], weights: list[int], session: int
) -> None:
    subject = router(names, weights)
    first, _, decided = subject.balancer.prefer(route(subject), (), 0.0, session)
    assert first is not None
    assert decided
    ticket = subject.balancer.begin(route(subject), first, (), 0.0)
    subject.results.end(ticket, Outcome(Kind.RATE_LIMITED, "x", retry_after=10.0), 0.0)
    assert chosen(subject, session, 1.0) != first.plan.name
    assert chosen(subject, session, 11.0) == first.plan.name


def test_numbers_are_those_of_every_release() -> None:
    """Two gateways side by side, one of them newer, send a session to the same target."""
    subject = router(["alpha", "beta", "gamma"], [1, 2, 3])
    found = [chosen(subject, session_number(b"key", b"session-%d" % i)) for i in range(8)]
    assert found == ["gamma", "beta", "gamma", "gamma", "gamma", "gamma", "gamma", "beta"]


def test_two_clients_may_give_their_sessions_one_name() -> None:
    assert session_number(b"one", b"1") != session_number(b"two", b"1")
    assert session_number(b"a1", b"2") != session_number(b"a", b"12")


def test_without_several_targets_in_a_tier_there_is_nothing_to_prefer() -> None:
    subject = Router(plan(virtual("v", "a/m 1", "b/m 2"), virtual("w", "a/m 1", "b/m 1")), random.Random(0))
    assert not route(subject).affinity
    assert subject.resolve("w").affinity  # type: ignore[union-attr]
    off = msgspec.structs.replace(virtual("v", "a/m 1", "b/m 1"), affinity=False)
    assert not route(Router(plan(off), random.Random(0))).affinity
