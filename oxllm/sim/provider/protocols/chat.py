"""Chat completions: `POST /v1/chat/completions`."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from oxllm.sim.dialects.base import CREATED, Json, encode
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import (
    ANY_OBJECT,
    Ask,
    SimRequest,
    body,
    required,
    schema_of,
    token_limit,
    weighed,
    whole_number,
)

HOLE = "{hole}"
"""Placeholder for the token in the event that is encoded once for all tokens; what a client names comes before it."""
DONE = b"data: [DONE]\n\n"


class Chat(Operation):
    protocol = "chat"
    reads_at_once = True
    done = DONE

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = body(request)
        messages = required(data, "messages", list)
        options, tool = data.get("stream_options"), _tool(data, messages)
        asked, tokens = weighed(messages)
        return Ask(
            model=data["model"],
            stream=data.get("stream") is True,
            n=whole_number(data.get("n"), 1, 128, 1),
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            max_tokens=token_limit(data.get("max_completion_tokens", data.get("max_tokens"))),
            tool=tool,
            schema=_schema(data, tool),
            prompt_tokens=tokens,
            inputs=(asked,),
            generates=True,
            data=data,
        )

    def reply(self, x: Exchange) -> Reply:
        if x.ask.stream:
            return x.streamed(self._stream(x))
        return x.plain(self._completion(x), x.finished(x.length), x.length)

    def nothing(self, x: Exchange) -> bytes:
        return x.dialect.chunk(_base(x), 0, {"role": "assistant", "content": ""})

    def usage(self, x: Exchange) -> bytes:
        return x.dialect.usage(_base(x), _usage(x))

    def _stream(self, x: Exchange) -> Iterator[Part]:
        """The events of a stream. Choices take turns, one token of each at a time."""
        base, dialect, choices = _base(x), x.dialect, range(x.ask.n)
        deadlines = x.deadlines()
        due = next(deadlines)
        opening = x.opening(due)
        if (ping := dialect.keepalive()) is not None:
            yield Part(opening, ping, "comment")
        for data in dialect.prelude(base):
            yield Part(opening, data, "preamble")
        for index in choices:
            yield Part(opening, dialect.chunk(base, index, _opening_delta(x)), "preamble")
        if x.tool is None and x.ask.n == 1:
            due = yield from self._text(x, base, due, deadlines)
            yield from self._ending(x, base, due, [iter(())])
            return
        sources = [_deltas(x, index) for index in choices]
        for _ in range(x.length):
            for index, source in zip(choices, sources, strict=True):
                yield Part(due, dialect.chunk(base, index, next(source)), "token", 1 if index == 0 else 0)
            due = next(deadlines)
        yield from self._ending(x, base, due, sources)

    def _text(self, x: Exchange, base: Json, due: float, deadlines: Iterator[float]) -> Generator[Part, None, float]:
        """The tokens of one text; their events differ in nothing else. Returns the time when the end is due."""
        before, _, after = x.dialect.chunk(base, 0, {"content": HOLE}).rpartition(HOLE.encode())
        for word in itertools.islice(x.json_words(), x.length):
            yield Part(due, b"%b%b%b" % (before, word, after), "token", 1)
            due = next(deadlines)
        return due

    def _ending(self, x: Exchange, base: Json, due: float, sources: list[Iterator[Json]]) -> Iterator[Part]:
        dialect = x.dialect
        for index, source in enumerate(sources):
            for delta in source if x.tool else ():
                yield Part(due, dialect.chunk(base, index, delta), "token")
            yield Part(due, dialect.chunk(base, index, {}, _finish_reason(x)), "finish")
        if x.ask.wants_usage:
            yield Part(due, dialect.usage(base, _usage(x)), "usage")
        if dialect.done:
            yield Part(due, DONE, "done")

    def _completion(self, x: Exchange) -> bytes:
        choices = [
            {"index": index, "message": _message(x, index), "logprobs": None, "finish_reason": _finish_reason(x)}
            for index in range(x.ask.n)
        ]
        return encode({**_base(x), "choices": choices, "usage": _usage(x)})


def _base(x: Exchange) -> Json:
    """The fields that all events and the whole answer have in common."""
    kind = "chat.completion.chunk" if x.ask.stream else "chat.completion"
    return {"id": x.identity("chatcmpl-", 24), "object": kind, "created": CREATED, "model": x.ask.model}


def _tool(data: Json, messages: list[Any]) -> str | None:
    """The first function offered, unless the last message already has a tool's result."""
    tools = data.get("tools")
    last = messages[-1]
    if not tools or data.get("tool_choice") == "none" or (isinstance(last, dict) and last.get("role") == "tool"):
        return None
    function = tools[0].get("function") if isinstance(tools, list) and isinstance(tools[0], dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _schema(data: Json, tool: str | None) -> Json | None:
    """The schema of the tool's parameters, or of the `response_format`."""
    if tool is not None:
        functions = [each.get("function") for each in data["tools"] if isinstance(each, dict)]
        return schema_of(functions, tool, "parameters")
    format = data.get("response_format")
    if not isinstance(format, dict) or format.get("type") not in ("json_schema", "json_object"):
        return None
    named = format.get("json_schema")
    return (named.get("schema") if isinstance(named, dict) else None) or ANY_OBJECT


def _opening_delta(x: Exchange) -> Json:
    if x.tool is None:
        return {"role": "assistant", "content": "", "refusal": None}
    return {"role": "assistant", "content": None}


def _deltas(x: Exchange, index: int) -> Iterator[Json]:
    """The deltas of one choice: endless text, or `length` pieces of a tool call and its closing brace."""
    if x.tool is None:
        for word in x.words(index):
            yield {"content": word}
    pieces = x.argument_pieces(index)
    function = {"name": x.tool, "arguments": next(pieces)}
    yield {"tool_calls": [{"index": 0, "id": _call_id(x, index), "type": "function", "function": function}]}
    for piece in pieces:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _call_id(x: Exchange, index: int) -> str:
    return x.identity("call_", 24, f" {index}")


def _finish_reason(x: Exchange) -> str:
    if x.tool is not None:
        return "tool_calls"
    return "length" if x.cut_short else "stop"


def _usage(x: Exchange) -> Json:
    asked, said = x.ask.prompt_tokens, x.tokens
    details = {
        "prompt_tokens_details": {"cached_tokens": x.cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    return {"prompt_tokens": asked, "total_tokens": asked + said, "completion_tokens": said, **details}


def _message(x: Exchange, index: int) -> Json:
    content = x.text(index)
    if x.tool is None:
        return {"role": "assistant", "content": content, "refusal": None}
    function = {"name": x.tool, "arguments": x.arguments(index)}
    call = {"id": _call_id(x, index), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


CHAT = Chat()
