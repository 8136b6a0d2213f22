"""A simulated provider as a scenario describes it."""

from __future__ import annotations

import msgspec

from oxllm.sim.provider.limits import Limits
from oxllm.sim.provider.pace import Pace

REAL = "real"
"""Name of the simulated provider that stands in front of a real one."""


class Upstream(msgspec.Struct, frozen=True):
    """One simulated provider."""

    name: str
    dialect: str = "openai"
    models: tuple[str, ...] = ("sim-1",)
    """What /models lists. Any model is served unless `strict`: a 404 is a fault."""
    pace: Pace = Pace()
    limit: Limits = Limits()
    strict: bool = False
    """Refuse what real ones refuse: no key, unknown models, values out of bounds."""
