"""`error-event[@token:N]`: an error inside the stream, in the dialect's own way, and the end of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from oxllm.sim.dialects.openai import Error
from oxllm.sim.place import token
from oxllm.sim.reply import Tape, before
from oxllm.sim.steps import Step

from .base import Fault

if TYPE_CHECKING:
    from oxllm.sim.exchange import Exchange


class ErrorEvent(Fault):
    kind = "error-event"
    places = ("token",)
    default = token(5)
    streams_only = True

    def play(self, x: Exchange) -> Iterator[Step]:
        assert self.place is not None
        reply = x.reply()
        error = x.dialect.stream_error(Error("server", 500)) + x.dialect.after_error()
        reply.parts = before(reply.parts, self.place.n, error)
        return Tape(reply).rest()


FAULT = ErrorEvent
