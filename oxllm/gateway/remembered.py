"""What is remembered of a request: who made its answer, and, once it has ended, what became of it."""

from __future__ import annotations

from oxllm.core.request.exchange import Exchange
from oxllm.core.routing.owners import Owners
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe.records import Record


def remember_owner(exchange: Exchange, owners: Owners) -> None:
    """The client has begun to get an answer: who made it may be asked for it again."""
    winner = exchange.winner
    if winner is None:
        return
    about = exchange.facts.endpoint.answer
    answer = winner.reader.id or about
    if answer and winner.status // 100 == exchange.reply.status // 100 == 2:
        model = owners.model(answer) if about else exchange.route.name
        owners.remember(answer, winner.candidate.state.provider.owner, model)


def record_of(exchange: Exchange, request: Request, wall: float, now: float) -> Record:
    """A request that has ended. `wall`: seconds since the epoch; `now`: in loop time."""
    books, reply, facts, winner = exchange.books, exchange.reply, exchange.facts, exchange.winner
    started, usage = request.started, books.usage
    provider = model = content = response_model = None
    reasons: tuple[str, ...] = ()
    if winner is not None:
        provider, model = winner.candidate.state.provider.name, winner.model
        response_model, reasons = winner.reader.model, winner.reader.reasons
        if winner.content_at is not None:
            content = winner.content_at - started
    prompt, completion, cached = None, None, None
    if usage is not None:
        prompt, completion, cached = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
    return Record(
        request.id,
        wall,
        exchange.route.name,
        facts.stream,
        reply.status,
        provider,
        model,
        books.attempts,
        content,
        now - started,
        prompt,
        completion,
        reply.error,
        books.steps,
        books.skips,
        facts.protocol.name,
        cached,
        response_model,
        reasons,
    )
