"""A request's place in its client's trace (https://www.w3.org/TR/trace-context/).

The span id of attempt n is the request's plus n, so nothing has to be stored between the attempt, whose id goes to the
provider in `traceparent`, and the export. A trace that the client does not sample is passed on, but not exported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from oxllm.gateway.observe.record import Record

SPAN_MASK = (1 << 64) - 1
TRACEPARENT: Final = b"traceparent"
"""The header that carries a request's place in its client's trace."""


class Trace(msgspec.Struct, frozen=True):
    """The place of a request's span in its trace."""

    id: str
    span: int
    parent: str | None
    sampled: bool

    def span_id(self, attempt: int = 0) -> str:
        """The span id of the request, or of its attempt number `attempt`."""
        return f"{(self.span + attempt) & SPAN_MASK:016x}"

    def header(self, attempt: int) -> bytes:
        """The `traceparent` that goes to the provider."""
        return f"00-{self.id}-{self.span_id(attempt)}-{'01' if self.sampled else '00'}".encode()


class Tracer(Protocol):
    """Exports traces to a collector. Its code is only loaded if a collector is configured."""

    endpoint: str
    """Where it exports to."""

    def trace(self, traceparent: bytes | None) -> Trace:
        """The place of a new request in its client's trace, or in one of its own."""

    def request(self, trace: Trace | None, record: Record) -> None:
        """A request has ended. `trace` is None for one that began before there was telemetry."""

    def export_to(self, endpoint: str) -> None:
        """Export to another collector from now on, including what is queued."""

    def stop(self) -> None:
        """Export what is queued, and no more."""

    def close(self, done: Callable[[], None]) -> None:
        """Export what is queued, and call `done` when it has arrived, or after two seconds."""
