"""`504-html`: the page of a CDN in front of a provider that is down (Cloudflare's wording)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>api.example | 504: Gateway time-out</title></head>\n"
    b"<body><h1>Gateway time-out <span>Error code 504</span></h1><p>Visit cloudflare.com</p></body></html>\n"
)


class TimeoutPage(Fault):
    kind = "504-html"

    def play(self, x: Exchange) -> Iterator[Step]:
        headers = [("server", "cloudflare"), ("cf-ray", x.chance.hexadecimal("ray", 16) + "-FRA")]
        return x.raw(504, "text/html; charset=UTF-8", PAGE, headers)


FAULT = TimeoutPage
