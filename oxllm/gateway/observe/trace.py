"""A request's place in its client's trace (https://www.w3.org/TR/trace-context/).

The id of attempt n is the request's span id plus n, so nothing has to be remembered between the attempt, whose id goes
to the provider in `traceparent`, and the export. A trace that the client does not sample is passed on, not kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from oxllm.gateway.observe.record import Record

SPAN_MASK = (1 << 64) - 1
TRACEPARENT: Final = b"traceparent"
"""The header that says where a request is in its client's trace."""


class Trace(msgspec.Struct, frozen=True):
    """Where a request's span is in its trace."""

    id: str
    span: int
    parent: str | None
    sampled: bool

    def span_id(self, attempt: int = 0) -> str:
        """Of the request, or of its attempt number `attempt`."""
        return f"{(self.span + attempt) & SPAN_MASK:016x}"

    def header(self, attempt: int) -> bytes:
        """The `traceparent` that goes to the provider."""
        return f"00-{self.id}-{self.span_id(attempt)}-{'01' if self.sampled else '00'}".encode()


class Tracer(Protocol):
    """Who collects traces. Its code is only loaded where a collector is configured."""

    endpoint: str
    """Where it exports to."""

    def trace(self, traceparent: bytes | None) -> Trace:
        """The place of a new request in its client's trace, or in one of its own."""

    def request(self, trace: Trace | None, record: Record) -> None:
        """A request has ended. `trace` is None for one that began before there was telemetry."""

    def export_to(self, endpoint: str) -> None:
        """To another collector from now on, and what waits too."""

    def stop(self) -> None:
        """Export what there is, and no more."""

    def close(self, done: Callable[[], None]) -> None:
        """Export what there is, and call `done` when it has arrived, or after two seconds."""
