"""Hypothesis profiles: `ci` (default) is quick and repeatable, `quick` is a quarter of it, `nightly` looks longer and
elsewhere each time, `mutants` stops at the first failing example, since nobody is going to read it."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

UNCHECKED = [HealthCheck.too_slow, HealthCheck.data_too_large]
"""How long data takes to make, which is the machine's business, and how much of it an unlucky seed begins with."""
settings.register_profile("ci", max_examples=60, deadline=None, derandomize=True, suppress_health_check=UNCHECKED)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=15)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=UNCHECKED)
settings.register_profile("mutants", settings.get_profile("ci"), phases=[Phase.explicit, Phase.generate])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
