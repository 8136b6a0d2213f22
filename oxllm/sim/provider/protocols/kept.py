"""Responses: the endpoints of one answer, by its id, as long as the provider remembers it.

Facts: platform.openai.com/docs/api-reference/responses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

from oxllm.sim.dialects.base import Json, encode
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.memory import Remembered
from oxllm.sim.provider.protocols.responses import event
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
        events = list(enumerate(_told_again(answer.response)))[first:]
        parts = [
            Part(max(x.now, answer.ready), event(kind, number, data), role) for number, (kind, data, role) in events
        ]
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


def _told_again(response: Json) -> Iterator[tuple[str, Json, str]]:
    """The events of a complete answer, with their roles: each text or call arguments in a single delta."""
    begun = {**response, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
    yield "response.created", {"response": begun}, "preamble"
    yield "response.in_progress", {"response": begun}, "preamble"
    for index, item in enumerate(response["output"]):
        place = {"output_index": index, "item_id": item["id"]}
        bare = {name: type(value)() if name in ("content", "arguments") else value for name, value in item.items()}
        yield "response.output_item.added", {"output_index": index, "item": bare}, "preamble"
        for number, part in enumerate(item.get("content", ())):
            at = {**place, "content_index": number}
            yield "response.content_part.added", {**at, "part": {**part, "text": ""}}, "preamble"
            yield "response.output_text.delta", {**at, "delta": part["text"], "logprobs": []}, "token"
            yield "response.output_text.done", {**at, "text": part["text"], "logprobs": []}, "closing"
            yield "response.content_part.done", {**at, "part": part}, "closing"
        if "arguments" in item:
            yield "response.function_call_arguments.delta", {**place, "delta": item["arguments"]}, "token"
            said = {"name": item["name"], "arguments": item["arguments"]}
            yield "response.function_call_arguments.done", {**place, **said}, "closing"
        yield "response.output_item.done", {"output_index": index, "item": item}, "closing"
    yield f"response.{response['status']}", {"response": response}, "finish"


RETRIEVE, DELETE, CANCEL, INPUT_ITEMS = Retrieve(), Delete(), Cancel(), InputItems()
