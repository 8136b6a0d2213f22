"""`529`: the site is overloaded (Anthropic's status for it)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class SiteOverloaded(Fault):
    kind = "529"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(Error("overloaded", 529))


FAULT = SiteOverloaded
