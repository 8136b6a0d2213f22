"""`spend-cap`: a 400 (OpenRouter: 402) that says that the account may spend no more."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class SpendCap(Refusal):
    kind = "spend-cap"
    error = Error("spend", 400)


FAULT = SpendCap
