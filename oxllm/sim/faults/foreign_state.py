"""`foreign-state`: a 400 that says that the request carries what another provider sealed or keeps."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.dialects.base import Error
from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.protocols.messages import INVALID_SIGNATURE
from oxllm.sim.provider.protocols.responses import lost, unsealed
from oxllm.sim.provider.request import BadAsk
from oxllm.sim.provider.steps import Step


class ForeignState(Fault):
    kind = "foreign-state"
    protocols = ("messages", "responses")

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(self._error(x))

    def _error(self, x: Exchange) -> Error:
        if x.operation.protocol == "messages":
            return BadAsk(f"messages.1.content.0: {INVALID_SIGNATURE}").error
        previous = x.ask.data.get("previous_response_id")
        return (lost(str(previous)) if previous is not None else unsealed("gAAAAABoXXXXyyyy")).error


FAULT = ForeignState
