"""`401`: the key is not accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Unauthorized(Fault):
    kind = "401"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("auth", 401))


FAULT = Unauthorized
