"""A finished request: what the log, `explain` and a collector get to know about it."""

from __future__ import annotations

import msgspec

from oxllm.core.request.exchange import Exchange
from oxllm.gateway.observe.record import Record


class Ended:
    """Copied once from the exchange, which is then released. The fields are those of `Record`, and explained there."""

    __slots__ = (
        "attempts",
        "cached_tokens",
        "completion_tokens",
        "error",
        "finish_reasons",
        "first_content",
        "id",
        "model",
        "prompt_tokens",
        "protocol",
        "provider",
        "response_model",
        "skips",
        "status",
        "steps",
        "stream",
        "time",
        "total",
        "upstream_model",
    )

    def __init__(self, exchange: Exchange, received: float, wall: float, now: float) -> None:
        """`received`: when the request's head was complete. It and `now` are in loop time, `wall` in seconds since the
        epoch."""
        books, reply, facts, winner = exchange.books, exchange.reply, exchange.facts, exchange.winner
        self.id = facts.request_id
        self.time = wall
        self.protocol = facts.protocol.name
        self.model = exchange.route.name  # as in /metrics: clients could make up any number of names
        self.stream = facts.stream
        self.status = reply.status
        self.error = reply.error
        self.total = now - received
        self.attempts = books.sent
        self.steps = books.steps
        self.skips = books.skips
        self.provider: str | None = None
        self.upstream_model: str | None = None
        self.first_content: float | None = None
        self.response_model: str | None = None
        self.finish_reasons: tuple[str, ...] = ()
        if winner is not None:
            self.provider, self.upstream_model = winner.candidate.state.provider.name, winner.model
            self.response_model, self.finish_reasons = winner.reader.model, winner.reader.reasons
            if winner.content_at is not None:
                self.first_content = winner.content_at - received
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        usage = books.usage
        if usage is not None:
            self.prompt_tokens, self.completion_tokens = usage.prompt_tokens, usage.completion_tokens
            self.cached_tokens = usage.cached_tokens

    def record(self) -> Record:
        """The same as a value that can be compared and encoded as JSON."""
        return msgspec.convert(self, Record, from_attributes=True)
