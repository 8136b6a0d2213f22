"""What holds whatever happens: the invariants of the gateway, over the running code with simulated providers.

Each is a property of its own, over worlds that suit it: the real connections, service, relay, exchange and HTTP client
on a virtual clock, the simulator's providers with their ledgers, clients that parse to the letter. Where it can, a
check asks the ledgers and the clients' transcripts, not the gateway.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from math import ceil

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.core.reading.outcome import Failure, Kind, network
from oxllm.core.routing.breaker import TABLE as BREAKER_TABLE
from oxllm.gateway.operator import status
from oxllm.table import table
from tests.property.effort import examples
from tests.property.worlds import (
    CUTS,
    EARLY,
    FAST,
    LATE,
    MARKS,
    ODD,
    Case,
    Cut,
    cases,
    configs,
    faults,
    play,
    wishes,
    worlds,
)
from tests.support.by_hand import make_plan
from tests.support.in_memory import Asked, Setup, Visit, Wish, World

SOON = 0.15
"""Seconds: a tick comes at most one sweep late, and the network in memory takes a millisecond or two."""
SOON_READ_S = 0.003
"""What a provider has sent is read by then."""
QUICK = examples(40)
PATIENT = {"leaves_after": None, "timeout": None}
STAYS = {"leaves_after": None}


def committed(visit: Visit) -> bool:
    """Content has reached the client."""
    return any(visit.content().values()) or (visit.status == 200 and bool(visit.finished()))


# 1


@QUICK
@given(worlds())
def test_01_each_request_ends_exactly_once(world: World) -> None:
    assert [visit.ends for visit in world.visits] == [1] * len(world.visits)
    records = Counter(record.id for record in world.journal.records)
    assert set(records.values()) <= {1}
    for visit in world.visits:
        assert records[visit.name] == 1 or visit.left
        assert visit.ended - visit.began < 60 + 40
    assert not world.runtime.relays
    assert not world.pool.connections
    assert all(provider.in_flight == 0 for provider in world.router.providers.values())
    assert all(begun.result is not None for begun in world.router.begun)
    assert (world.runtime.bodies.total, world.runtime.held.total, world.server.backlog) == (0, 0, 0)


# 2


@QUICK
@given(worlds(kinds=EARLY + LATE + ODD, **STAYS))
def test_02_a_success_is_one_providers_text_with_no_splice_gap_or_duplicate(world: World) -> None:
    for visit in world.visits:
        texts = visit.content()
        asked = {asked.provider for asked in world.asked if asked.visit == visit.name}
        if visit.kind == "whole":
            assert set(texts) == set(range(visit.wish.n))
            wanted = [{i: world.truth(visit, name, i) for i in texts} for name in asked]
            assert texts in wanted
            assert visit.provider is None or texts == {i: world.truth(visit, visit.provider, i) for i in texts}
        else:
            assert not texts or any(
                all(world.truth(visit, name, i).startswith(said) for i, said in texts.items()) for name in asked
            )


# 3


@QUICK
@given(worlds(**STAYS))
def test_03_before_commit_a_failure_is_invisible_while_a_candidate_remains_and_after_it_nobody_else_is_asked(
    world: World,
) -> None:
    most = world.plan.retry.max_attempts
    records = {record.id: record for record in world.journal.records}
    for visit in world.visits:
        record = records[visit.name]
        if committed(visit):
            assert visit.first_content is None or all(a.at <= visit.first_content for a in world.asked_for(visit))
        elif visit.kind != "whole" and record.attempts < most and "ran out" not in visit.error["message"]:
            last = [choice for choice in world.router.choices if choice.at <= visit.ended][-1:]
            tried = {step.target for step in record.steps}
            left = {f"{c.state.provider.name}/{c.state.model}" for c in last[0].usable} - tried if last else set()
            passed = {target for target, skip in record.skips.items() if skip.value != "already tried"}
            assert left <= passed


# 4


@QUICK
@given(worlds(kinds=LATE + ODD + EARLY, **STAYS))
def test_04_a_stream_succeeds_exactly_if_every_choice_has_its_finish_reason(world: World) -> None:
    for visit in world.visits:
        if visit.wish.stream:
            payloads = visit.payloads if visit.status == 200 else []
            assert payloads.count(b"[DONE]") == (visit.kind == "whole")
            assert (visit.kind == "whole") == (visit.finished() == set(range(visit.wish.n)))
            if visit.kind == "whole":
                assert payloads[-1] == b"[DONE]"
            elif visit.status == 200:
                assert visit.error["code"]
        elif visit.kind == "whole":
            assert visit.finished() == set(range(visit.wish.n))


# 5

SLOW = "ttft 12s, itl 10ms, out 20..60"
"""Pings come before content does."""


@QUICK
@given(
    st.sampled_from([*LATE, *ODD, *EARLY, *MARKS]),
    st.sampled_from([*LATE, *EARLY]),
    st.sampled_from(CUTS),
    st.booleans(),
    st.sampled_from(("ttft 20ms, itl 5ms, out 20..60", SLOW)),
    st.integers(0, 99),
)
def test_05_all_output_parses_and_says_the_same_however_input_is_cut(
    fault: str, other: str, cut: Cut | None, stream: bool, pace: str, seed: int
) -> None:
    said = []
    for each in (None, cut):
        setup = Setup(make_plan("alpha", "beta"), {"alpha": [fault], "beta": [other]}, pace, seed, each)
        with World(setup) as world:
            visit = world.ask(stream=stream)
            world.run()
            said.append((visit.kind, visit.status, visit.content(), visit.finished()))
        assert world.errors == []
    assert said[0] == said[1]


def plan_of(*targets: str, **changes: object) -> plans.Plan:
    """Two providers with short limits."""
    names = targets or ("alpha", "beta")
    chosen = [plans.Target(n.partition("/")[0], n.partition("/")[2] or "big-1", i, 1, FAST) for i, n in
              enumerate(names, 1)]  # fmt: skip
    return make_plan(*chosen, **changes)  # type: ignore[arg-type]


# 6


@QUICK
@given(worlds())
def test_06_attempts_follow_the_policys_order(world: World) -> None:
    for choice in world.router.choices:
        if not choice.usable:
            assert choice.chosen is None
        else:
            assert choice.chosen in choice.usable
            assert choice.chosen.tier == min(candidate.tier for candidate in choice.usable)


@given(st.lists(st.integers(1, 4), min_size=2, max_size=3), st.integers(1, 3))
@examples(20)
def test_06_weights_share_a_tier_to_the_request(weights: list[int], rounds: int) -> None:
    names = ("alpha", "beta", "gamma")[: len(weights)]
    targets = [plans.Target(name, "big-1", 1, weight) for name, weight in zip(names, weights, strict=True)]
    with World(Setup(make_plan(*targets))) as world:
        for number in range(sum(weights) * rounds):
            world.ask(at=number * 0.5)
        world.run()
        shares = Counter(asked.provider for asked in world.asked)
    assert shares == {name: weight * rounds for name, weight in zip(names, weights, strict=True)}


# 7


WITHHELD = network(Failure.WITHHELD, True).reason


@QUICK
@given(worlds(kinds=(*EARLY, "500", "500", "rst@connect", "429")))
def test_07_attempts_stay_under_the_maximum_and_repeat_only_what_same_target_allows(world: World) -> None:
    retry = world.plan.retry
    for record in world.journal.records:
        assert record.attempts <= retry.max_attempts
        assert sum(step.result != WITHHELD for step in record.steps) == record.attempts
        repeated = Counter(step.target for step in record.steps)
        assert all(count <= 1 + retry.same_target for count in repeated.values())
        for before, after in pairwise(record.steps):
            if before.target == after.target:
                assert before.result.startswith(("HTTP 500", "HTTP 502", "connection reset", "connection closed"))
                assert 0.05 <= after.started - before.ended <= 0.15 + SOON
    for visit in world.visits:
        assert len(world.asked_for(visit)) <= retry.max_attempts


# 8


def spent(world: World) -> Iterator[float]:
    """When an extra attempt was paid for: a second try at its jitter's begin, a hedge at its start.

    What starts beside another attempt at the moment when a third has ended takes its place, and is free.
    """
    began = {visit.name: visit.began for visit in world.visits}
    for record in world.journal.records:
        ordered = sorted(record.steps, key=lambda step: step.number)
        for before, after in pairwise(ordered):
            if before.target == after.target:
                yield began[record.id] + before.ended
            elif after.started < before.ended and all(step.ended != after.started for step in ordered):
                yield began[record.id] + after.started


@QUICK
@given(
    worlds(
        kinds=("500", "rst@connect", "slow~3s", "502-html"),
        visits=st.lists(wishes(within=25.0, **STAYS), min_size=5, max_size=25),
    )
)
def test_08_extra_attempts_stay_within_the_retry_budget_in_every_window(world: World) -> None:
    extras = sorted(spent(world))
    for at in extras:
        recent = sum(at - 10.0 < other <= at for other in extras)
        requests = sum(at - 10.2 < visit.began <= at for visit in world.visits)
        assert recent <= max(3, int(world.plan.retry.budget * requests + 1e-9))


# 9


@QUICK
@given(worlds(kinds=ODD, sane=False, leaves_after=None))
def test_09_a_clients_fault_costs_one_attempt_and_no_penalty(world: World) -> None:
    for visit in world.visits:
        assert (visit.kind, visit.status) == ("error", 400)
        assert visit.error["type"] == "invalid_request_error"
        assert len(world.asked_for(visit)) == 1
        assert visit.reader.headers["x-oxllm-attempts"] == "1"
    for provider in world.router.providers.values():
        assert (provider.breaker.halves, provider.breaker.moves) == (0, {})
        assert all(target.cooldown.until < 0 for target in provider.targets.values())


# 10


def left_unread(world: World, told: Asked, heard: float) -> bool:
    """In the moment in which it was told, the attempt was called off: another one was faster, or its client left."""
    called_off = {begun.ended for begun in world.router.begun if begun.provider == told.provider and begun.unread}
    return any(ended is not None and abs(ended - heard) < SOON_READ_S for ended in called_off)


@QUICK
@given(worlds(kinds=MARKS[:3], most=20))
def test_10_nothing_goes_to_a_target_before_its_hint_has_passed(world: World) -> None:
    for told in world.asked:
        if told.record.hint is None or told.record.ended is None or told.record.end == "gone":
            continue
        heard = world.start + told.record.ended + 0.001
        if left_unread(world, told, heard):
            continue
        for asked in world.asked:
            if (asked.provider, asked.model) == (told.provider, told.model):
                assert not heard < asked.at < heard + told.record.hint - 0.002


# 11


@QUICK
@given(worlds(kinds=(*EARLY, "slow~3s", "slow~11s"), leaves_after=None))
def test_11_the_deadline_holds_over_all_attempts_until_commit(world: World) -> None:
    for visit in world.visits:
        limit = min(world.plan.virtual_models[0].request, 0.95 * (visit.wish.timeout or 1000.0))
        over = visit.ended if visit.first_content is None or not visit.wish.stream else visit.first_content
        assert over - visit.began <= limit + SOON


@given(st.floats(2.0, 20.0), st.booleans(), st.integers(0, 99))
@examples(20)
def test_11_the_deadline_holds_though_nobody_answers_and_another_runs_beside(
    timeout: float, stream: bool, seed: int
) -> None:
    stalls = {name: ["stall@headers"] for name in ("alpha", "beta")}
    with World(Setup(plan_of("alpha", "beta"), stalls, seed=seed)) as world:
        visit = world.ask(timeout=timeout, stream=stream)
        world.run()
        assert visit.ended - visit.began <= 0.95 * timeout + SOON
        assert {asked.provider for asked in world.asked_for(visit)} == {"alpha", "beta"}


# 12


@QUICK
@given(
    worlds(kinds=("slow~3s", "slow~11s", "stall@headers", "stall@token:3", "500"), leaves_after=2.5),
)
def test_12_a_hang_up_cancels_upstream_at_once_and_moves_no_breaker(world: World) -> None:
    for visit in world.visits:
        if visit.left:
            for asked in world.asked:
                if asked.visit == visit.name:
                    assert asked.at <= visit.ended + 0.1
                    assert asked.record.ended is not None
                    assert world.start + asked.record.ended <= visit.ended + 0.1
    for begun in world.router.begun:
        assert begun.result is not None
        if begun.result.kind is Kind.GONE:
            assert begun.halves[0] == begun.halves[1]
            back = begun.before == "probing" and not begun.stale and not begun.others
            assert begun.after == ("half-open" if back else begun.before)


# 13


@QUICK
@given(worlds())
def test_13_only_the_tables_transitions_happen(world: World) -> None:
    legal = {(before, after) for (before, _), after in BREAKER_TABLE.rows.items()}
    for provider in world.router.providers.values():
        assert provider.breaker.moves.keys() <= legal
    assert world.errors == []  # where an assertion of the exchange's or an attempt's table would end


# 14


@QUICK
@given(worlds(kinds=("503", "refuse", "stall@headers", "slow~3s", "empty"), doses=("", " x5"), most=20))
def test_14_only_probes_go_to_a_provider_that_is_open_and_each_two_seconds_twice_as_many(world: World) -> None:
    for begun in world.router.begun:
        assert begun.probe == (begun.state != "closed")
        assert begun.state in (("open", "probing") if begun.resort else ("closed", "half-open", "probing"))
    for name in world.providers:
        mine = [begun for begun in world.router.begun if begun.provider == name]
        probes = [begun for begun in mine if begun.probe and not begun.resort]
        for generation in {begun.generation for begun in probes}:
            mine = [begun for begun in probes if begun.generation == generation]
            for number, begun in enumerate(mine):
                out = sum(other.ended is None or other.ended > begun.at for other in mine[:number])
                assert out < 1 << int((begun.at - mine[0].at) / 2.0 + 1e-9)


@given(st.integers(1, 4), st.floats(0.2, 2.0), st.integers(0, 99))
@examples(15)
def test_14_a_dead_provider_is_asked_once_a_cool_off(failures: int, gap: float, seed: int) -> None:
    plan = plan_of(breaker=plans.Breaker(failures=failures))
    with World(Setup(plan, {"alpha": ["503"]}, seed=seed)) as world:
        for number in range(60):
            world.ask(at=number * gap)
        world.run()
        times = [asked.at for asked in world.providers["alpha"].asked]
        assert {visit.kind for visit in world.visits} == {"whole"}
    probes = times[failures:]
    assert all(after - before >= 5.0 * 0.9 for before, after in pairwise(times[failures - 1 :]))
    assert len(probes) <= 1 + 60 * gap / 4.5


# 15


@given(st.integers(1, 5), st.lists(st.booleans(), min_size=5, max_size=25), st.integers(0, 99))
@QUICK
def test_15_a_breaker_opens_exactly_at_its_threshold(threshold: int, fates: list[bool], seed: int) -> None:
    plan = plan_of(breaker=plans.Breaker(failures=threshold, cooldown=600.0, cooldown_max=600.0))
    with World(Setup(plan, seed=seed)) as world:
        row = 0
        for healthy in fates:
            world.patch("alpha", *([] if healthy else ["503"]))
            world.ask(stream=False)
            world.run()
            row = row if row == threshold else 0 if healthy else row + 1
            assert (world.state("alpha") == "open") == (row == threshold)


# 16


@given(st.integers(1, 3), st.floats(5.0, 60.0), st.sampled_from(("503", "refuse", "empty")), st.integers(0, 99))
@examples(20)
def test_16_after_healing_one_probe_closes_and_traffic_is_back_on_the_preferred_tier(
    failures: int, outage: float, fault: str, seed: int
) -> None:
    plan = plan_of(breaker=plans.Breaker(failures=failures))
    with World(Setup(plan, {"alpha": [fault]}, seed=seed)) as world:
        world.at(outage, lambda: world.patch("alpha"))
        for number in range(int(outage) + 40):
            world.ask(at=number)
        world.run()
        healed = world.start + outage
        assert {visit.kind for visit in world.visits} == {"whole"}
        assert world.state("alpha") == "closed"
        assert sum(begun.probe and begun.at >= healed for begun in world.router.begun) <= 1
        late = [visit.provider for visit in world.visits if visit.began > healed + 20 * 1.1 + 1]
        assert late
        assert set(late) == {"alpha"}


# 17


@given(st.lists(st.sampled_from(("503", "refuse", "429~7s", "429~50s", "retry-after~4000s", "401", "404",
                                 "429-quota")), min_size=2, max_size=2), st.floats(0.0, 3.0))  # fmt: skip
@QUICK
def test_17_when_all_are_down_there_is_an_answer_at_once_with_the_soonest_recovery(
    down: list[str], later: float
) -> None:
    plan = plan_of(breaker=plans.Breaker(failures=1))
    with World(Setup(plan, {"alpha": [down[0]], "beta": [down[1]]})) as world:
        for _ in range(2):  # a server error from everybody is half a failure of each
            world.ask(stream=False)
            world.run()
        world.run().sleep(later)
        visit = world.ask(stream=False)
        world.run()
        assert visit.ended - visit.began < 0.02
        assert not world.asked_for(visit)
        now = visit.ended
        ends = []
        for name, fault in zip(("alpha", "beta"), down, strict=True):
            provider = world.router.providers[name]
            until = max(provider.breaker.opens_until, provider.targets["big-1"].cooldown.until)
            if fault not in ("401", "404", "429-quota") and until - now <= 60:
                ends.append(max(1, ceil(until - now)))
        limited = all(fault.startswith(("429", "retry-after")) for fault in down)
        assert visit.status == (429 if limited else 503)
        assert visit.reader.headers["retry-after"] == str(min(ends, default=60))
        assert (visit.reader.headers.get("x-should-retry") == "false") == (not ends)
        for name in ("alpha", "beta"):
            assert f"{name}/big-1: " in visit.error["message"]


# 18


@QUICK
@given(
    worlds(
        plan=configs(hedge=False, hold=False),
        kinds=("stall@headers", "503", "cut@token:3"),
        doses=("", " 60%", " 1/2"),
        visits=st.lists(wishes(within=3.0, **STAYS), min_size=6, max_size=25),
    )
)
def test_18_a_result_of_an_older_generation_moves_nothing(world: World) -> None:
    for begun in world.router.begun:
        if begun.stale:
            assert (begun.after, begun.halves[1]) == (begun.before, begun.halves[0])


def test_18_a_slow_failure_from_before_the_outage_does_not_open_what_has_closed() -> None:
    plan = plan_of(breaker=plans.Breaker(failures=1, cooldown=1.0))
    with World(Setup(plan, {"alpha": ["cut@token:3 x1", "503 x1"]}, pace="ttft 10ms, itl 3s, out 20..60")) as world:
        world.ask()  # committed at once, cut after some 9 s
        world.ask(at=1.0, stream=False)  # opens
        world.ask(at=4.0)  # the probe, which closes
        world.run()
        stale = [begun for begun in world.router.begun if begun.stale]
        assert [begun.result.kind for begun in stale if begun.result] == [Kind.BROKEN]
        assert world.state("alpha") == "closed"


def test_a_request_lost_on_a_connection_that_nobody_had_used_yet_is_repeated_for_free() -> None:
    """It was made for an attempt that was not sent, since a breaker had opened meanwhile, and was idle since."""
    targets = [plans.Target(name, "big-1", tier) for name, tier in (("alpha", 2), ("beta", 1), ("gamma", 1))]
    plan = make_plan(*targets, breaker=plans.Breaker(failures=1), retry=plans.Retry(0, 3, 0.0))
    with World(Setup(plan, {"beta": ["500"], "gamma": ["rst"]}, pace="ttft 20ms, itl 5ms, out 20..60")) as world:
        for at in (0.0, 0.0, 0.0, 6.0):
            world.ask(at=at, stream=False, n=1)
        world.run()
        withheld = [begun for begun in world.router.begun if begun.result and begun.result.kind is Kind.WITHHELD]
        lost = [asked.free for asked in world.asked if asked.provider == "gamma"]
        assert (len(withheld), lost) == (1, [False, True, False])
        assert world.router.providers["gamma"].targets["big-1"].counters.attempts == 1 + len(withheld) + 1


# 19


COUNTED = [kind for kind in EARLY if kind != "refuse" and "@connect" not in kind]
"""Faults that a provider's ledger has as requests."""


@QUICK
@given(
    worlds(
        plan=configs(hedge=False),
        kinds=("500", "502-html", *COUNTED, *MARKS, *LATE, *ODD),
        **PATIENT,
    )
)
def test_19_the_counters_are_what_the_providers_ledgers_say(world: World) -> None:
    asked = Counter((a.provider, a.model) for a in world.asked if not a.free)
    whole = Counter(record.provider for record in world.journal.records if record.error is None)
    unsent = Counter(
        (begun.provider, begun.model)
        for begun in world.router.begun
        if begun.result is not None and begun.result.kind is Kind.WITHHELD
    )
    for name, provider in world.router.providers.items():
        successes = 0
        for model, target in provider.targets.items():
            counters = target.counters
            assert counters.attempts == asked[name, model] + unsent[name, model]
            ended = counters.successes + counters.lost + counters.retries + sum(counters.failures.values())
            assert counters.attempts == ended
            successes += counters.successes
        assert successes == whole[name]
    route = world.router.resolve("smart")
    assert route is not None
    assert route.counters.requests == len(world.visits)


# 20


@st.composite
def _two_models(draw: st.DrawFn) -> tuple[Setup, list[Wish]]:
    plan = plan_of("alpha", "beta", breaker=plans.Breaker(failures=draw(st.integers(1, 3))))
    solo = make_plan("gamma", route="solo")
    provider = msgspec.structs.replace(solo.providers[0], port=9009)
    plan = msgspec.structs.replace(
        plan,
        providers=(*plan.providers, provider),
        virtual_models=(*plan.virtual_models, *solo.virtual_models),
    )
    setup = Setup(plan, {"alpha": draw(faults()), "beta": draw(faults())}, seed=draw(st.integers(0, 99)))
    visits = [draw(wishes(within=10.0)) for _ in range(draw(st.integers(1, 5)))]
    return setup, visits


@QUICK
@given(_two_models(), st.lists(st.floats(0, 12.0), min_size=1, max_size=4))
def test_20_faults_at_some_providers_leave_the_answers_of_others_untouched(
    case: tuple[Setup, list[Wish]], times: list[float]
) -> None:
    setup, visits = case
    seen = []
    for spoiled in (True, False):
        here = setup if spoiled else msgspec.structs.replace(setup, faults={})
        with World(here) as world:
            solos = [world.ask(at=at, model="solo") for at in times]
            for wish in visits if spoiled else []:
                world.ask(wish)
            world.run()
            seen.append([(v.kind, v.provider, v.content(), round(v.ended - v.began, 2)) for v in solos])
            for visit in solos:
                assert visit.content() == {0: world.truth(visit, "gamma", 0)}
                assert visit.reader.headers["x-oxllm-attempts"] == "1"
    assert seen[0] == seen[1]


# 21


@QUICK
@given(worlds(kinds=(*MARKS, *EARLY, *LATE)))
def test_21_no_key_is_in_any_output(world: World) -> None:
    output = [visit.reader.body + repr(visit.reader.headers).encode() for visit in world.visits]
    snapshot = status.snapshot(world.gateway.vitals, lambda _: None)
    output += [table(snapshot).encode(), msgspec.json.encode(snapshot, enc_hook=str)]
    output += [repr(record).encode() for record in world.journal.records]
    output.append(world.written)
    for said in output:
        assert b"sk-secret" not in said
        assert b"sk-client" not in said
    for asked in world.asked:
        assert asked.key == b"Bearer sk-secret-" + asked.provider.encode()
    for visit in world.visits:
        assert visit.name.encode() not in world.written.replace(visit.name.encode() + b"\n", b"")


@examples(15)
@given(cases(most=12))
def test_one_seed_is_one_run_to_the_byte(case: Case) -> None:
    runs = []
    for _ in range(2):
        world = play(case)
        runs.append(
            (
                [(visit.began, visit.ended, visit.reader.body) for visit in world.visits],
                [(asked.at, asked.provider, asked.visit) for asked in world.asked],
                world.written,
            )
        )
    assert runs[0] == runs[1]
