"""`preamble-error`: a stream's head, what comes before content, and then an error: the provider is overloaded."""

from __future__ import annotations

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.error_event import ErrorEvent
from oxllm.sim.provider.place import token


class PreambleError(ErrorEvent):
    kind = "preamble-error"
    places = ()
    default = token(0)
    error = Error("overloaded", 503)


FAULT = PreambleError
