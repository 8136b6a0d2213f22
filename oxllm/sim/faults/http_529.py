"""`529`: the site is overloaded (Anthropic's status for it)."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class SiteOverloaded(Refusal):
    kind = "529"
    error = Error("overloaded", 529)


FAULT = SiteOverloaded
