"""`500`: an internal error in JSON, the dialect's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class ServerError(Fault):
    kind = "500"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("server", 500))


FAULT = ServerError
