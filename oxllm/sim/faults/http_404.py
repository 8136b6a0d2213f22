"""`404`: the model does not exist here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class Missing(Fault):
    kind = "404"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("missing", 404))


FAULT = Missing
