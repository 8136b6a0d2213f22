"""A simulated provider as a scenario describes it."""

from __future__ import annotations

import msgspec

from oxllm.sim.provider.limits import Limits
from oxllm.sim.provider.pace import Pace

REAL = "real"
"""What the provider that a real one is behind is called."""


class Upstream(msgspec.Struct, frozen=True):
    """One simulated provider."""

    name: str
    dialect: str = "openai"
    models: tuple[str, ...] = ("sim-1",)
    """What /models lists. Requests for any model are served, unless it is strict: 404s are faults."""
    pace: Pace = Pace()
    limit: Limits = Limits()
    strict: bool = False
    """Refuse what the real ones refuse: no key, unknown models, values out of bounds."""
