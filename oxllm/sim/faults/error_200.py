"""`error-200`: a 200 whose body is an error object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange

BODY = b'{"error":{"message":"Provider returned error","code":502}}'


class ErrorOk(Fault):
    kind = "error-200"

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.raw(200, "application/json", BODY)


FAULT = ErrorOk
