"""`504-html`: the page of a CDN in front of a provider that is down (Cloudflare's wording)."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.faults.pages import cloudflare
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


class TimeoutPage(Fault):
    kind = "504-html"
    needs_answer = False

    def play(self, x: Exchange) -> Iterator[Step]:
        return cloudflare(x, 504, "Gateway time-out")


FAULT = TimeoutPage
