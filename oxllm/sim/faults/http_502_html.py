"""`502-html[~STATUS]`: the page of a CDN in front of a provider that is down (Cloudflare's wording; 520 is its own)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Argument, Fault
from oxllm.sim.faults.pages import cloudflare
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


class BadGatewayPage(Fault):
    kind = "502-html"
    needs_answer = False
    argument = Argument.COUNT
    counts = (400, 599)

    def play(self, x: Exchange) -> Iterator[Step]:
        return cloudflare(x, int(self.seconds(502)), "Bad gateway")


FAULT = BadGatewayPage
