"""`503`: overloaded, in JSON."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class Overloaded(Refusal):
    kind = "503"
    error = Error("overloaded", 503)


FAULT = Overloaded
