"""Remembers which provider made an answer."""

from __future__ import annotations

from oxllm.core.request.exchange import Exchange
from oxllm.core.routing.owners import Owners


def remember_owner(exchange: Exchange, owners: Owners) -> None:
    """The client has begun to get an answer: remember its provider, since later requests may refer to it."""
    winner = exchange.winner
    if winner is None:
        return
    about = exchange.facts.endpoint.answer
    answer = winner.reader.id or about
    if answer and winner.status // 100 == exchange.reply.status // 100 == 2:
        model = owners.model(answer) if about else exchange.route.name
        owners.remember(answer, winner.candidate.state.provider.owner, model)
