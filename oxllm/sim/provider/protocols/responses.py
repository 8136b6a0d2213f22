"""Responses: `POST /v1/responses`, `/compact` and `/input_tokens`. The endpoints of an answer by its id are in `kept`.

Facts: platform.openai.com/docs/api-reference/responses and .../responses-streaming. An answer consists of
items: first a reasoning item, if the client asks for reasoning, then a message or a function call. Each event has its
type twice and a `sequence_number`; a stream has no `[DONE]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oxllm.sim.dialects.base import CREATED, Error, Json, encode
from oxllm.sim.provider import seals
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.memory import Remembered
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import (
    ANY_OBJECT,
    Ask,
    BadAsk,
    SimRequest,
    body,
    fingerprint,
    required,
    schema_of,
    token_count,
    token_limit,
)

SEALED = "reasoning.encrypted_content"
"""The `include` value of a client that keeps the state itself."""


THOUGHT_TOKENS = 32
"""Tokens of a reasoning item."""
COMPACTED_TOKENS = 64
"""Tokens of a compacted conversation."""


class Responses(Operation):
    protocol = "responses"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = body(request)
        given = required(data, "input", (str, list))
        tool = _tool(data, given)
        return Ask(
            model=data["model"],
            stream=data.get("stream") is True,
            max_tokens=token_limit(data.get("max_output_tokens")),
            tool=tool,
            schema=_schema(data, tool),
            prompt_tokens=token_count(given),
            inputs=(fingerprint(given),),
            generates=True,
            data=data,
        )

    def check(self, x: Exchange) -> None:
        _check_state(x)

    def reply(self, x: Exchange) -> Reply:
        answer = _Answer(x)
        ready = x.finished(x.length)
        if x.ask.data.get("store") is not False:
            size = len(x.request.body)
            x.provider.memory.keep(Remembered(answer.whole, answer.asked, size, ready, lambda: _Answer(x).stream()))
        if x.ask.stream:
            return x.streamed(answer.stream())
        if answer.background:
            return x.plain(encode({**answer.begun, "status": "queued"}), x.now)
        return x.plain(encode(answer.whole), ready, x.length)

    def failure(self, x: Exchange, error: Error, number: int) -> bytes:
        answer = _Answer(x)
        said = {"code": x.dialect.failure_code(error), "message": x.dialect.message(error)}
        failed = {**answer.begun, "status": "failed", "error": said}
        return event("response.failed", number, {"response": failed})

    def nothing(self, x: Exchange) -> bytes:
        return b": \n\n"


class _Answer:
    """An answer being made: its items, and the events that send them."""

    def __init__(self, x: Exchange) -> None:
        self.x = x
        self.id = x.identity("resp_", 48)
        self.number = 0
        """The `sequence_number` of the next event."""
        data = x.ask.data
        self.background = data.get("background") is True
        given = data["input"]
        items = [{"type": "message", "role": "user", "content": given}] if isinstance(given, str) else given
        named = [item if isinstance(item, dict) else {"content": item} for item in items]
        self.asked = [{"id": x.identity("msg_", 48, f" asked {at}"), **item} for at, item in enumerate(named)]

    @property
    def begun(self) -> Json:
        """The response before it has any output."""
        data = self.x.ask.data
        reasoning = data.get("reasoning") if isinstance(data.get("reasoning"), dict) else {}
        return {
            "id": self.id,
            "object": "response",
            "created_at": CREATED,
            "status": "in_progress",
            "background": self.background,
            "error": None,
            "incomplete_details": None,
            "instructions": data.get("instructions"),
            "max_output_tokens": data.get("max_output_tokens"),
            "model": self.x.ask.model,
            "output": [],
            "parallel_tool_calls": data.get("parallel_tool_calls", True),
            "previous_response_id": data.get("previous_response_id"),
            "prompt_cache_key": data.get("prompt_cache_key"),
            "reasoning": {"effort": None, "summary": None, **(reasoning or {})},
            "service_tier": "default",
            "store": data.get("store") is not False,
            "temperature": data.get("temperature", 1.0),
            "text": data.get("text", {"format": {"type": "text"}}),
            "tool_choice": data.get("tool_choice", "auto"),
            "tools": data.get("tools", []),
            "top_p": data.get("top_p", 1.0),
            "truncation": data.get("truncation", "disabled"),
            "usage": None,
            "user": data.get("user"),
            "metadata": data.get("metadata") or {},
        }

    @property
    def whole(self) -> Json:
        """The complete response."""
        x = self.x
        status = "incomplete" if x.cut_short else "completed"
        details = {"reason": "max_output_tokens"} if x.cut_short else None
        output = [*self._reasoning(), self._item(0).item("completed", whole=True)]
        return {**self.begun, "status": status, "incomplete_details": details, "output": output, "usage": self._usage()}

    def stream(self) -> Iterator[Part]:
        """All events of the stream."""
        x, deadlines = self.x, self.x.deadlines()
        due = next(deadlines)
        opening = x.opening(due)
        for kind in ("response.created", *(["response.queued"] if self.background else []), "response.in_progress"):
            yield self.part(opening, kind, {"response": self.begun}, "preamble")
        output = 0
        for item in self._reasoning():
            bare = {**item, "summary": []}
            yield self.part(opening, "response.output_item.added", {"output_index": 0, "item": bare}, "preamble")
            yield self.part(due, "response.output_item.done", {"output_index": 0, "item": item}, "token", 1)
            output, due = 1, next(deadlines)
        said = self._item(output)
        yield from said.opened(opening)
        for data in said.deltas():
            yield self.part(due, said.delta, data, "token", 1)
            due = next(deadlines)
        yield from said.closed(due)
        whole = self.whole
        yield self.part(due, f"response.{whole['status']}", {"response": whole}, "finish")

    def part(self, at: float, kind: str, data: Json, role: str, tokens: int = 0) -> Part:
        number, self.number = self.number, self.number + 1
        return Part(at, event(kind, number, data), role, tokens, number)

    def _item(self, output: int) -> _Said:
        """The item with the answer: a message, or a function call."""
        return _MessageSaid(self, output) if self.x.tool is None else _CallSaid(self, output)

    def _reasoning(self) -> list[Json]:
        """The reasoning item, if the client asks for one."""
        data = self.x.ask.data
        included = data.get("include") if isinstance(data.get("include"), list) else []
        if not data.get("reasoning") and SEALED not in (included or []):
            return []
        item: Json = {"id": self.x.identity("rs_", 48), "type": "reasoning", "summary": []}
        if SEALED in (included or []):
            item["encrypted_content"] = seals.seal(self.x.upstream.name, self.id)
        return [item]

    def _usage(self) -> Json:
        thought = THOUGHT_TOKENS if self._reasoning() else 0
        return _usage(self.x, self.x.ask.prompt_tokens, self.x.tokens + thought, thought)


class _Said:
    """The item with the answer: how it begins, grows and ends."""

    delta: str

    def __init__(self, answer: _Answer, output: int) -> None:
        self.answer = answer
        self.x = answer.x
        self.output = output

    def opened(self, at: float) -> Iterator[Part]:
        item = self.item("in_progress", whole=False)
        yield self.part(at, "response.output_item.added", {"item": item}, "preamble")

    def deltas(self) -> Iterator[Json]:
        """The data of each event of the growing item."""
        raise NotImplementedError

    def closed(self, at: float) -> Iterator[Part]:
        item = self.item("completed", whole=True)
        yield self.part(at, "response.output_item.done", {"item": item}, "closing")

    def item(self, status: str, whole: bool) -> Json:
        raise NotImplementedError

    def part(self, at: float, kind: str, data: Json, role: str) -> Part:
        return self.answer.part(at, kind, {"output_index": self.output, **data}, role)


class _MessageSaid(_Said):
    delta = "response.output_text.delta"

    def opened(self, at: float) -> Iterator[Part]:
        yield from super().opened(at)
        yield self.part(at, "response.content_part.added", {**self._place, "part": _text("")}, "preamble")

    def deltas(self) -> Iterator[Json]:
        words = self.x.words()
        for _ in range(self.x.length):
            yield {"output_index": self.output, **self._place, "delta": next(words), "logprobs": []}

    def closed(self, at: float) -> Iterator[Part]:
        said = self.x.text()
        yield self.part(at, "response.output_text.done", {**self._place, "text": said, "logprobs": []}, "closing")
        yield self.part(at, "response.content_part.done", {**self._place, "part": _text(said)}, "closing")
        yield from super().closed(at)

    def item(self, status: str, whole: bool) -> Json:
        content = [_text(self.x.text())] if whole else []
        return {"id": self._id, "type": "message", "status": status, "role": "assistant", "content": content}

    @property
    def _id(self) -> str:
        return self.x.identity("msg_", 48)

    @property
    def _place(self) -> Json:
        return {"item_id": self._id, "content_index": 0}


class _CallSaid(_Said):
    delta = "response.function_call_arguments.delta"

    def deltas(self) -> Iterator[Json]:
        for piece in self.x.argument_pieces():
            yield {"output_index": self.output, "item_id": self._id, "delta": piece}

    def closed(self, at: float) -> Iterator[Part]:
        said = {"item_id": self._id, "name": self.x.tool, "arguments": self.x.arguments()}
        yield self.part(at, "response.function_call_arguments.done", said, "closing")
        yield from super().closed(at)

    def item(self, status: str, whole: bool) -> Json:
        arguments = self.x.arguments() if whole else ""
        call = {"call_id": self.x.identity("call_", 24), "name": self.x.tool, "arguments": arguments}
        return {"id": self._id, "type": "function_call", "status": status, **call}

    @property
    def _id(self) -> str:
        return self.x.identity("fc_", 48)


class Compact(Operation):
    """`POST /responses/compact`: a shorter form of a conversation, which only this provider can read."""

    protocol = "responses"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        return _asked_beside(request)

    def check(self, x: Exchange) -> None:
        _check_state(x)

    def reply(self, x: Exchange) -> Reply:
        sealed = seals.seal(x.upstream.name, x.ask.inputs[0])
        item = {"id": x.identity("cmp_", 48), "type": "compaction", "encrypted_content": sealed}
        told = {"id": x.identity("resp_", 48), "object": "response.compaction", "created_at": CREATED, "output": [item]}
        return x.plain(encode({**told, "usage": _usage(x, x.ask.prompt_tokens, COMPACTED_TOKENS)}), x.now)


class InputTokens(Compact):
    """`POST /responses/input_tokens`."""

    def reply(self, x: Exchange) -> Reply:
        return x.plain(encode({"object": "response.input_tokens", "input_tokens": x.ask.prompt_tokens}), x.now)


def _asked_beside(request: SimRequest) -> Ask:
    data = {"input": [], **body(request)}
    given = data["input"]
    return Ask(model=data["model"], prompt_tokens=token_count(given), inputs=(fingerprint(given),), data=data)


def _check_state(x: Exchange) -> None:
    """Raise BadAsk if the request refers to state that another provider keeps or has sealed."""
    data, memory = x.ask.data, x.provider.memory
    previous = data.get("previous_response_id")
    if previous is not None and memory.find(str(previous)) is None:
        raise lost(str(previous))
    for item in data["input"] if isinstance(data["input"], list) else ():
        if isinstance(item, dict):
            _check_item(x, item)


def _check_item(x: Exchange, item: Json) -> None:
    sealed, identity = item.get("encrypted_content"), item.get("id")
    if item.get("type") in ("reasoning", "compaction") and sealed is not None:
        if not seals.is_own(x.upstream.name, sealed):
            raise unsealed(str(sealed))
    elif item.get("type") in ("reasoning", "item_reference") and not x.provider.memory.has_item(str(identity)):
        words = f"Item with id '{identity}' not found. Items are not persisted when `store` is set to false."
        raise BadAsk(words, "input", 404)


def lost(previous: str) -> BadAsk:
    """The error for an earlier answer that this provider does not have."""
    words = f"Previous response with id '{previous}' not found."
    return BadAsk(words, "previous_response_id", 400, "previous_response_not_found")


def unsealed(sealed: str) -> BadAsk:
    """The error for sealed content that this provider cannot open."""
    shown, reason = f"{sealed[:4]}...{sealed[-4:]}", "Encrypted content could not be decrypted or parsed."
    words = f"The encrypted content {shown} could not be verified. Reason: {reason}"
    return BadAsk(words, None, 400, "invalid_encrypted_content")


def _tool(data: Json, given: Any) -> str | None:
    """The function that `tool_choice` demands, or the only one offered, unless a function's result is already there: an
    agent that offers many would have no use for a call that nobody meant."""
    tools, choice = data.get("tools"), data.get("tool_choice")
    last = given[-1] if isinstance(given, list) else None
    if isinstance(last, dict) and last.get("type") == "function_call_output":
        return None
    if isinstance(choice, dict) and isinstance(choice.get("name"), str):
        return str(choice["name"])
    tools = tools if isinstance(tools, list) else []
    offered = [tool for tool in tools if isinstance(tool, dict) and tool.get("type") == "function"]
    if not offered or choice == "none" or (len(offered) > 1 and choice != "required"):
        return None
    name = offered[0].get("name")
    return name if isinstance(name, str) else None


def _schema(data: Json, tool: str | None) -> Json | None:
    """The schema of the function's parameters, or of `text.format`."""
    if tool is not None:
        return schema_of(data.get("tools"), tool, "parameters")
    format = (data.get("text") or {}).get("format") if isinstance(data.get("text"), dict) else None
    if not isinstance(format, dict) or format.get("type") not in ("json_schema", "json_object"):
        return None
    return format.get("schema") or ANY_OBJECT


def _usage(x: Exchange, asked: int, said: int, thought: int = 0) -> Json:
    return {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": x.cached},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": asked + said,
    }


def _text(said: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": said}


def event(kind: str, number: int, data: Json) -> bytes:
    """One event of a stream."""
    told = encode({"type": kind, "sequence_number": number, **data})
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), told)


RESPONSES, COMPACT, INPUT_TOKENS = Responses(), Compact(), InputTokens()
