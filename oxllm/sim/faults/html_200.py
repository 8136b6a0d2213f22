"""`html-200`: a 200 with a page, as from a captive portal or a proxy."""

from __future__ import annotations

from oxllm.sim.faults.base import FixedBody


class HtmlOk(FixedBody):
    kind = "html-200"
    content_type = "text/html"
    body = b"<!DOCTYPE html><html><body>Please sign in to continue.</body></html>"


FAULT = HtmlOk
