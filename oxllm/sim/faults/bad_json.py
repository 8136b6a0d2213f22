"""`bad-json`: a 200 whose JSON is broken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

BODY = (
    b'{"id":"chatcmpl-0","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"wo'
)


class BadJson(Fault):
    kind = "bad-json"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.raw(200, "application/json", BODY)


FAULT = BadJson
