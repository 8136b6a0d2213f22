"""Whatever the seed and the virtual models, chaos leaves a way out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim import presets, scenes
from oxllm.sim.pace import Pace
from oxllm.sim.scenario import Scenario, Upstream

NAMES = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"])
GROUPS = st.lists(st.lists(NAMES, min_size=1, max_size=4, unique=True), min_size=1, max_size=4)


@given(st.sampled_from(presets.NAMES), st.integers(0, 2**32), GROUPS, st.sampled_from([60.0, 600.0, 2000.0]))
def test_every_preset_is_survivable(name: str, seed: int, groups: list[list[str]], horizon: float) -> None:
    table = presets.timetable(name, seed, groups, horizon)
    assert presets.unsurvivable(table, groups, horizon) is None


@given(st.sampled_from(presets.NAMES), st.integers(0, 2**32), GROUPS)
def test_no_preset_contradicts_itself(name: str, seed: int, groups: list[list[str]]) -> None:
    upstreams = tuple(Upstream(name, pace=Pace()) for name in sorted({name for group in groups for name in group}))
    assert scenes.problems(Scenario(seed, upstreams, presets.timetable(name, seed, groups, 120.0))) == []
