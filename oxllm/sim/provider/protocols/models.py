"""`GET /v1/models` and `GET /v1/models/{id}`, in the shape that the client's headers ask for."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

from oxllm.sim.dialects.base import CREATED, Json, encode
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.reply import Reply
from oxllm.sim.provider.request import Ask, BadAsk, SimRequest

MADE = datetime.datetime.fromtimestamp(CREATED, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Models(Operation):
    """The list, or the model that the path names."""

    protocol = "models"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        return Ask(identity=names.get("id", ""))

    def check(self, x: Exchange) -> None:
        if x.ask.identity and x.ask.identity not in x.upstream.models:
            raise BadAsk(f"The model '{x.ask.identity}' does not exist", "model", 404, word="missing")

    def reply(self, x: Exchange) -> Reply:
        anthropic = x.request.get(b"anthropic-version") is not None
        shape = _anthropic if anthropic else _openai
        if x.ask.identity:
            return x.plain(encode(shape(x, x.ask.identity)), x.now)
        listed = [shape(x, model) for model in x.upstream.models]
        whole: Json = {"object": "list", "data": listed}
        if anthropic:
            ends = {"first_id": x.upstream.models[0], "last_id": x.upstream.models[-1]} if listed else {}
            whole = {"data": listed, "has_more": False, **(ends or {"first_id": None, "last_id": None})}
        return x.plain(encode(whole), x.now)


def _openai(x: Exchange, model: str) -> Json:
    return {"id": model, "object": "model", "created": CREATED, "owned_by": x.upstream.name}


def _anthropic(x: Exchange, model: str) -> Json:
    return {"type": "model", "id": model, "display_name": model, "created_at": MADE}


MODELS = Models()
