"""`429-toobig`: this request never fits, and a retry cannot help."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class TooBig(Refusal):
    kind = "429-toobig"
    error = Error("toobig", 429)


FAULT = TooBig
