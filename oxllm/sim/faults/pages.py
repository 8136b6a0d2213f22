"""Error pages of the CDN in front of a provider."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.steps import Step


def cloudflare(x: Exchange, status: int, words: str) -> Iterator[Step]:
    """A CDN's page for a provider that is down, in Cloudflare's wording and with its headers."""
    page = (
        f"<!DOCTYPE html>\n<html><head><title>api.example | {status}: {words}</title></head>\n"
        f"<body><h1>{words} <span>Error code {status}</span></h1><p>Visit cloudflare.com</p></body></html>\n"
    )
    headers = [("server", "cloudflare"), ("cf-ray", x.chance.hexadecimal("ray", 16) + "-FRA")]
    return x.raw(status, "text/html; charset=UTF-8", page.encode(), headers)
