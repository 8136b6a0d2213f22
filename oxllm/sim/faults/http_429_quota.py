"""`429-quota`: out of quota or credit, in the dialect's own way; no wait of minutes helps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class OutOfQuota(Fault):
    kind = "429-quota"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("quota", 429))


FAULT = OutOfQuota
