"""Messages, Anthropic's API: `POST /v1/messages` and `POST /v1/messages/count_tokens`.

Facts: platform.claude.com/docs (Messages, Streaming Messages, Extended thinking, Token counting, Message threads). The
type of an event is in its `event:` line, on which the SDKs dispatch, and again in `type`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oxllm.sim.dialects.base import Json, encode
from oxllm.sim.provider import seals
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import (
    Ask,
    BadAsk,
    SimRequest,
    body,
    fingerprint,
    parsed,
    required,
    schema_of,
    token_count,
    token_limit,
)

THOUGHTS = 3
"""Number of pieces of the thinking before an answer, if the client asks for any."""


class Messages(Operation):
    protocol = "messages"
    done = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = _body(request)
        if token_limit(data.get("max_tokens")) is None:
            raise BadAsk("max_tokens: Field required", "max_tokens")
        messages = data["messages"]
        tool = _tool(data, messages)
        return Ask(
            model=data["model"],
            stream=data.get("stream") is True,
            max_tokens=token_limit(data["max_tokens"]),
            tool=tool,
            prompt_tokens=token_count(messages),
            inputs=(fingerprint(messages),),
            generates=True,
            schema=_schema(data, tool),
            data=data,
        )

    def check(self, x: Exchange) -> None:
        _check_thread(x)
        _check_state(x)

    def reply(self, x: Exchange) -> Reply:
        if _thread(x.ask.data):
            x.provider.memory.hold(_id(x))
        if x.ask.stream:
            return x.streamed(self._stream(x))
        content = [*_thought(x), _block(x, whole=True)]
        ended = {"content": content, "stop_reason": _stop_reason(x), "usage": _usage(x, x.tokens)}
        return x.plain(encode({**_begun(x), **ended}), x.finished(x.length), x.length)

    def nothing(self, x: Exchange) -> bytes:
        return _event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": ""}})

    def _stream(self, x: Exchange) -> Iterator[Part]:
        deadlines = x.deadlines()
        due = next(deadlines)
        opening = x.opening(due)
        yield Part(opening, _event("message_start", {"message": _begun(x)}), "preamble")
        index = 0
        for block in _thought(x):
            yield from _thinking(x, block, opening, due)
            index, due = 1, next(deadlines)
        started = _event("content_block_start", {"index": index, "content_block": _block(x, whole=False)})
        # A tool's name counts as content, an empty text block does not.
        yield Part(opening, started, "preamble") if x.tool is None else Part(due, started, "token", 1)
        yield Part(opening, _event("ping", {}), "comment")
        for delta in _deltas(x):
            yield Part(due, _event("content_block_delta", {"index": index, "delta": delta}), "token", 1)
            due = next(deadlines)
        yield Part(due, _event("content_block_stop", {"index": index}), "closing")
        ended = {"stop_reason": _stop_reason(x), "stop_sequence": None}
        told = _event("message_delta", {"delta": ended, "usage": _usage(x, x.tokens)})
        yield Part(due, told, "finish")
        yield Part(due, self.done, "done")


class CountTokens(Operation):
    protocol = "messages"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = _body(request)
        messages = data["messages"]
        return Ask(model=data["model"], prompt_tokens=token_count(messages), inputs=(fingerprint(messages),))

    def reply(self, x: Exchange) -> Reply:
        return x.plain(encode({"input_tokens": x.ask.prompt_tokens}), x.now)


def _body(request: SimRequest) -> Json:
    """The body, which must have messages; else BadAsk in Anthropic's words."""
    data = body(request)
    try:
        required(data, "messages", list)
    except BadAsk:
        raise BadAsk("messages: Field required", "messages") from None
    return data


def _check_thread(x: Exchange) -> None:
    """Raise BadAsk if the request continues a message of a thread that this provider does not hold."""
    thread = _thread(x.ask.data)
    if thread.get("type") == "continue" and not x.provider.memory.holds(str(thread.get("previous_message_id"))):
        words = "No usable thread was found for `previous_message_id`. Send the full conversation as a new thread."
        raise BadAsk(words, "thread", 404, "thread_not_found", "missing")


def _thread(data: Json) -> Json:
    """The thread that the request begins or continues; empty if none."""
    thread = data.get("thread")
    return thread if isinstance(thread, dict) else {}


def _check_state(x: Exchange) -> None:
    """Raise BadAsk if a thinking block has another provider's signature."""
    for at, message in enumerate(x.ask.data["messages"]):
        content = message.get("content") if isinstance(message, dict) else None
        for place, block in enumerate(content if isinstance(content, list) else ()):
            thinks = isinstance(block, dict) and block.get("type") == "thinking"
            if thinks and not seals.is_own(x.upstream.name, block.get("signature")):
                raise BadAsk(f"messages.{at}.content.{place}: {INVALID_SIGNATURE}", "messages")


INVALID_SIGNATURE = "Invalid `signature` in `thinking` block"


def _tool(data: Json, messages: list[Any]) -> str | None:
    """The tool that `tool_choice` demands, or the only one offered, unless a tool's result is already there."""
    tools, choice = data.get("tools"), data.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else "auto"
    if _has_result(messages[-1]) or not isinstance(tools, list) or not tools or kind == "none":
        return None
    if kind == "tool" and isinstance(choice, dict):
        return str(choice.get("name"))
    names = [tool.get("name") for tool in tools if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
    return names[0] if names and (kind == "any" or len(names) == 1) else None


def _schema(data: Json, tool: str | None) -> Json | None:
    """The schema of the tool's input, or of the output that the client asks for."""
    if tool is not None:
        return schema_of(data.get("tools"), tool, "input_schema")
    format = data.get("output_format") or (data.get("output_config") or {}).get("format")
    return format.get("schema") if isinstance(format, dict) else None


def _has_result(message: object) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return any(isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)


def _id(x: Exchange) -> str:
    return x.identity("msg_01", 22)


def _begun(x: Exchange) -> Json:
    """The message before it has any content."""
    return {
        "id": _id(x),
        "type": "message",
        "role": "assistant",
        "model": x.ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(x, 1),
    }


def _usage(x: Exchange, said: int) -> Json:
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": x.cached}
    return {"input_tokens": x.ask.prompt_tokens - x.cached, **cached, "output_tokens": said, "service_tier": "standard"}


def _stop_reason(x: Exchange) -> str:
    if x.tool is not None:
        return "tool_use"
    return "max_tokens" if x.cut_short else "end_turn"


def _thought(x: Exchange) -> list[Json]:
    """The thinking block, if the client asks for it."""
    thinking = x.ask.data.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") == "disabled":
        return []
    thought = "".join(f"Step {step}. " for step in range(THOUGHTS)).strip()
    return [{"type": "thinking", "thinking": thought, "signature": seals.seal(x.upstream.name, x.ask.inputs[0])}]


def _thinking(x: Exchange, block: Json, opening: float, due: float) -> Iterator[Part]:
    """The events of a thinking block."""
    empty = {"type": "thinking", "thinking": "", "signature": ""}
    yield Part(opening, _event("content_block_start", {"index": 0, "content_block": empty}), "preamble")
    for piece in block["thinking"].split(" Step"):
        said = piece if piece.startswith("Step") else f" Step{piece}"
        delta = {"type": "thinking_delta", "thinking": said}
        yield Part(due, _event("content_block_delta", {"index": 0, "delta": delta}), "token", 1)
    signed = {"type": "signature_delta", "signature": block["signature"]}
    yield Part(due, _event("content_block_delta", {"index": 0, "delta": signed}), "token")
    yield Part(due, _event("content_block_stop", {"index": 0}), "token")


def _block(x: Exchange, whole: bool) -> Json:
    """The block with the answer."""
    if x.tool is None:
        return {"type": "text", "text": x.text() if whole else ""}
    given = parsed(x.arguments()) if whole else {}
    return {"type": "tool_use", "id": x.identity("toolu_01", 22), "name": x.tool, "input": given}


def _deltas(x: Exchange) -> Iterator[Json]:
    if x.tool is not None:
        for piece in x.argument_pieces():
            yield {"type": "input_json_delta", "partial_json": piece}
        return
    words = x.words()
    for _ in range(x.length):
        yield {"type": "text_delta", "text": next(words)}


def _event(kind: str, data: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **data}))


MESSAGES, COUNT_TOKENS = Messages(), CountTokens()
