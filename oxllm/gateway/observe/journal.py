"""Reports finished requests: to the log, to the ring that `explain` reads, and to a collector."""

from __future__ import annotations

from oxllm.core.routing.change import Change
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.records import Records
from oxllm.gateway.observe.seldom import Seldom
from oxllm.gateway.observe.trace import TRACEPARENT, Trace, Tracer

FRAMES = 3
"""Stack frames that are logged, from the innermost on."""


def place(error: BaseException) -> str:
    """Where an exception was raised, the innermost first: `chat.py:120 < exchange.py:200 < relay.py:70`."""
    lines = []
    frame = error.__traceback__
    while frame is not None:
        lines.append(f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}")
        frame = frame.tb_next
    return " < ".join(reversed(lines[-FRAMES:])) or "nowhere"


class Journal:
    """What one process reports about its requests."""

    __slots__ = (
        "_shortages",
        "internal_errors",
        "log",
        "protocols",
        "records",
        "refusals",
        "spans_lost",
        "telemetry",
    )

    def __init__(self, log: Log) -> None:
        self.log = log
        self._shortages = Seldom()
        self.records = Records()
        self.internal_errors = 0
        """Bugs of ours that were noticed."""
        self.refusals: dict[int, int] = {}
        """Answers made without asking a provider, by status."""
        self.protocols: dict[str, int] = {}
        """Requests begun, by the API that was called."""
        self.telemetry: Tracer | None = None
        """Set while there is a collector."""
        self.spans_lost = 0
        """Requests whose spans did not reach a collector."""

    def begun(self, protocol: str) -> None:
        """A request that will be sent to providers has begun."""
        self.protocols[protocol] = self.protocols.get(protocol, 0) + 1

    def trace(self, request: Request) -> Trace | None:
        """The trace of a new request; None while there is no collector."""
        return self.telemetry.trace(request.get(TRACEPARENT)) if self.telemetry is not None else None

    def request(self, ended: Ended, trace: Trace | None, changes: list[Change]) -> None:
        """A request has ended. `changes`: what it changed in the states of providers and targets."""
        self.records.append(ended)
        self.log.request(ended)
        if self.telemetry is not None:
            self.telemetry.request(trace, ended.record())
        for change in changes:
            self.log.change(change)

    def shortage(self, detail: str, now: float) -> None:
        """This machine could not make an attempt: logged at most once a minute."""
        if self._shortages.due(now):
            self.log.event("warning", f"providers cannot be reached from here: {detail}")

    def internal_error(self, where: str, error: BaseException) -> None:
        """A bug of ours. Logs where it was, but not the exception's message, which may quote a request."""
        self.internal_errors += 1
        self.log.event("error", f"internal error in {where}: {type(error).__name__} at {place(error)}")

    def refused(self, status: int, message: str, request_id: str, peer: str = "") -> None:
        """A request was answered without asking a provider."""
        self.refusals[status] = self.refusals.get(status, 0) + 1
        self.log.refused(status, message, request_id, peer)
