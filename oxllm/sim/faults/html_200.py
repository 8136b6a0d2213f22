"""`html-200`: a 200 with a page, as from a captive portal or a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

BODY = b"<!DOCTYPE html><html><body>Please sign in to continue.</body></html>"


class HtmlOk(Fault):
    kind = "html-200"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.raw(200, "text/html", BODY)


FAULT = HtmlOk
