"""`401`: the key is not accepted."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class Unauthorized(Refusal):
    kind = "401"
    error = Error("auth", 401)


FAULT = Unauthorized
