"""`429-quota`: out of quota or credit, in the dialect's own way; no wait of minutes helps."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class OutOfQuota(Refusal):
    kind = "429-quota"
    error = Error("quota", 429)


FAULT = OutOfQuota
