"""`error-200`: a 200 whose body is an error object."""

from __future__ import annotations

from oxllm.sim.faults.base import FixedBody


class ErrorOk(FixedBody):
    kind = "error-200"
    content_type = "application/json"
    body = b'{"error":{"message":"Provider returned error","code":502}}'


FAULT = ErrorOk
