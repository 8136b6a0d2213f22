"""`404`: the model does not exist here."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class Missing(Refusal):
    kind = "404"
    error = Error("missing", 404)


FAULT = Missing
