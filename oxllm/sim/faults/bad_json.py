"""`bad-json`: a 200 whose JSON is broken."""

from __future__ import annotations

from oxllm.sim.faults.base import FixedBody


class BadJson(FixedBody):
    kind = "bad-json"
    content_type = "application/json"
    body = b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"wo'


FAULT = BadJson
