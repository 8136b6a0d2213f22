"""Responses: the endpoints of one answer, by its id, as long as the provider remembers it.

Facts: platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import msgspec

from oxllm.sim.dialects.base import Json, encode
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.memory import Remembered
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import Ask, BadAsk, SimRequest


class OfOne(Operation):
    """An endpoint of one answer, by its id. Subclasses implement `tell`."""

    protocol = "responses"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        asked = parse_qs(urlsplit(request.path).query)
        data = {name: values[-1] for name, values in asked.items()}
        return Ask(identity=names["id"], stream=data.get("stream") == "true", data=data)

    def check(self, x: Exchange) -> None:
        if x.provider.memory.find(x.ask.identity) is None:
            raise BadAsk(f"Response with id '{x.ask.identity}' not found.", None, 404)

    def reply(self, x: Exchange) -> Reply:
        answer = x.provider.memory.find(x.ask.identity)
        assert answer is not None, "check() has found it"
        return x.plain(encode(self.tell(x, answer)), x.now)

    def tell(self, x: Exchange, answer: Remembered) -> Json:
        raise NotImplementedError


class Retrieve(OfOne):
    """The answer as it is now; with `?stream=true` its events, from the start or from behind `starting_after`."""

    def reply(self, x: Exchange) -> Reply:
        answer = x.provider.memory.find(x.ask.identity)
        assert answer is not None, "check() has found it"
        if not x.ask.stream:
            return super().reply(x)
        after = x.ask.data.get("starting_after", "")
        first = int(after) + 1 if after.isdigit() else 0
        events = [part for part in answer.stream() if part.number >= first]
        parts = [msgspec.structs.replace(part, at=max(x.now, part.at)) for part in events]
        return x.streamed(iter(parts or [Part(x.now, b": \n\n", "comment")]))

    def tell(self, x: Exchange, answer: Remembered) -> Json:
        return answer.told(x.now)


class Delete(OfOne):
    def tell(self, x: Exchange, answer: Remembered) -> Json:
        x.provider.memory.forget(x.ask.identity)
        return {"id": x.ask.identity, "object": "response", "deleted": True}


class Cancel(OfOne):
    def check(self, x: Exchange) -> None:
        super().check(x)
        answer = x.provider.memory.find(x.ask.identity)
        if answer is not None and not answer.response["background"]:
            raise BadAsk("Cannot cancel a synchronous response.", "response_id")

    def tell(self, x: Exchange, answer: Remembered) -> Json:
        answer.cancelled = answer.cancelled or x.now < answer.ready
        return answer.told(x.now)


class InputItems(OfOne):
    def tell(self, x: Exchange, answer: Remembered) -> Json:
        items = answer.items[::-1]  # newest first, the default `order`
        ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]}
        return {"object": "list", "data": items, **ends, "has_more": False}


RETRIEVE, DELETE, CANCEL, INPUT_ITEMS = Retrieve(), Delete(), Cancel(), InputItems()
