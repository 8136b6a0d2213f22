"""Whatever the seed and the virtual models, chaos leaves a way out."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from oxllm.sim.provider.pace import Pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import presets, scenes
from oxllm.sim.script.fate import Judge
from oxllm.sim.script.scenario import Scenario, Scene

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
GROUPS = st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True), min_size=1, max_size=4)
SEEDS = st.integers(0, 2**32)
PRESETS = st.sampled_from(presets.NAMES)
STAYS_AWAY_S = {"429-quota": 600.0, "spend-cap": 600.0, "401": 60.0, "404": 60.0, "retry-after": 3600.0, "429": 2.0}
"""How long a gateway that honours them keeps off after one such answer, at most (docs/failures.md)."""
STEP_S = 0.5


class Provider:
    """What a gateway could know of one, moment by moment, from its fates alone."""

    def __init__(self, seed: int, name: str, table: Sequence[Scene]) -> None:
        self._judge = Judge(seed, name, table)
        self._away_until = 0.0
        self.clean_since: float | None = 0.0

    def look(self, now: float) -> None:
        """Whatever a scene may do, it does it to some request until its end."""
        kinds = [dosed.fault.kind for scene in self._judge.playing(now) for dosed in scene.faults]
        if kinds:
            self._away_until = max(self._away_until, now + STEP_S + max(STAYS_AWAY_S.get(kind, 0.0) for kind in kinds))
        if kinds or now < self._away_until:
            self.clean_since = None
        elif self.clean_since is None:
            self.clean_since = now

    def clean_for(self, now: float) -> float:
        return -1.0 if self.clean_since is None else now - self.clean_since


def reachable(
    seed: int, table: Sequence[Scene], group: Sequence[str], horizon: float, cooldown_max: float
) -> list[set[str]]:
    """At each step, the providers that a gateway may be at: it was there and they stayed clean, or it came from such a
    one when both had been clean for longer than any breaker's cool-off."""
    providers = {name: Provider(seed, name, table) for name in group}
    at, found = set(group), []
    for step in range(int(horizon / STEP_S)):
        now = step * STEP_S
        for provider in providers.values():
            provider.look(now)
        clean = {name: provider.clean_for(now) for name, provider in providers.items()}
        at = {name for name in at if clean[name] >= 0}
        if any(clean[name] > cooldown_max * 1.1 - STEP_S for name in at):
            at |= {name for name in group if clean[name] > cooldown_max * 1.1 - STEP_S}
        found.append(set(at))
    return found


@given(PRESETS, SEEDS, GROUPS, st.sampled_from([60.0, 400.0]), st.sampled_from([20.0, 5.0, 90.0]))
def test_at_any_time_a_gateway_can_be_at_a_provider_of_each_group_that_nothing_befalls(
    name: str, seed: int, groups: list[list[str]], horizon: float, cooldown_max: float
) -> None:
    table = presets.timetable(name, seed, groups, horizon, cooldown_max=cooldown_max)
    for group in groups:
        assert all(reachable(seed, table, group, horizon, cooldown_max))


@given(SEEDS, st.integers(1, 5))
def test_hell_leaves_such_a_provider_of_one_to_five_for_ten_minutes(seed: int, count: int) -> None:
    table = presets.timetable("hell", seed, [NAMES[:count]], 600.0)
    assert all(reachable(seed, table, NAMES[:count], 600.0, 20.0))


@given(PRESETS, SEEDS, GROUPS, st.sampled_from([60.0, 600.0, 2000.0]), st.floats(1.0, 300.0))
@example("hell", 7, [["alpha", "beta", "gamma", "delta", "epsilon"]], 3600.0, 20.0)
def test_every_preset_is_survivable_as_the_report_card_says_it(
    name: str, seed: int, groups: list[list[str]], horizon: float, cooldown_max: float
) -> None:
    table = presets.timetable(name, seed, groups, horizon, cooldown_max=cooldown_max)
    assert presets.unsurvivable(table, groups, horizon, cooldown_max) is None


@given(st.sampled_from(["rough", "hell"]), SEEDS, st.integers(2, 5))
def test_every_provider_but_one_is_in_trouble_in_the_first_minute(name: str, seed: int, count: int) -> None:
    table = presets.timetable(name, seed, [NAMES[:count]], 60.0)
    assert {provider for scene in table for provider in scene.on} == {*NAMES[: count - 1]}


@given(SEEDS, st.integers(2, 5))
def test_a_blackout_leaves_no_way_out(seed: int, count: int) -> None:
    table = presets.timetable("hell", seed, [NAMES[:count]], 60.0, blackout=True)
    assert not all(reachable(seed, table, NAMES[:count], 60.0, 20.0))
    assert presets.unsurvivable(table, [NAMES[:count]], 60.0) is not None


@given(PRESETS, SEEDS, GROUPS)
def test_no_preset_contradicts_itself(name: str, seed: int, groups: list[list[str]]) -> None:
    upstreams = tuple(Upstream(name, pace=Pace()) for name in sorted({name for group in groups for name in group}))
    assert scenes.problems(Scenario(seed, upstreams, presets.timetable(name, seed, groups, 120.0))) == []
