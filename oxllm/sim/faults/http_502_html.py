"""`502-html[~STATUS]`: the page of a CDN in front of a provider that is down (Cloudflare's wording; 520 is its own)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Argument, Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>api.example | 502: Bad gateway</title></head>\n"
    b"<body><h1>Bad gateway <span>Error code 502</span></h1><p>Visit cloudflare.com</p></body></html>\n"
)


class BadGatewayPage(Fault):
    kind = "502-html"
    argument = Argument.COUNT

    def play(self, x: Exchange) -> Iterator[Step]:
        headers = [("server", "cloudflare"), ("cf-ray", x.chance.hexadecimal("ray", 16) + "-FRA")]
        return x.raw(int(self.seconds(502)), "text/html; charset=UTF-8", PAGE, headers)


FAULT = BadGatewayPage
