"""`500`: an internal error in JSON, the dialect's own."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Refusal


class ServerError(Refusal):
    kind = "500"
    error = Error("server", 500)


FAULT = ServerError
