"""The shipped config, rehearsed in processes and real time: each preset for a minute under each of ten seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

from oxllm.cli.init import STARTER
from oxllm.sim.script import presets
from tests.soak.conftest import Profile
from tests.support.rehearsing import Rehearsal, graded
from tests.support.virtual_rehearsal import SEEDS, demands

AT_ONCE = 2


@pytest.mark.parametrize("chaos", presets.NAMES)
def test_clients_of_the_shipped_config_see_no_error_of_a_preset_before_content(
    chaos: str, profile: Profile, tmp_path: Path
) -> None:
    if profile.name != "long":
        pytest.skip("takes six minutes, so only with --profile=long; tests/e2e/test_rehearsal.py has one seed of it")
    config = tmp_path / "config.toml"
    config.write_text(STARTER, encoding="utf-8")
    options = ("--chaos", chaos, "--for", "60s", "--rps", "6", "--json", *graded(*demands(chaos)))
    for first in range(0, len(SEEDS), AT_ONCE):
        seeds = SEEDS[first : first + AT_ONCE]
        for run in [Rehearsal(config, *options, "--seed", str(seed)) for seed in seeds]:
            assert run.end(within=700) == 0, run.said
            assert run.card.requests == 360
