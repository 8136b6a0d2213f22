"""A message of the Messages API as events: whole, with a tool, with thinking."""

from __future__ import annotations

import json


def named(*events: object) -> bytes:
    """Events as they are sent, each under its type; bytes as they are."""
    return b"".join(event if isinstance(event, bytes) else _event(event) for event in events)


def _event(event: object) -> bytes:
    assert isinstance(event, dict)
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


def start(name: str = "msg_1", /, **usage: int) -> dict[str, object]:
    message: dict[str, object] = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": "big-1",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage or {"input_tokens": 5, "output_tokens": 1},
    }
    return {"type": "message_start", "message": message}


def block(index: int = 0, **block: object) -> dict[str, object]:
    return {"type": "content_block_start", "index": index, "content_block": block or {"type": "text", "text": ""}}


def delta(index: int = 0, **delta: object) -> dict[str, object]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def text(words: str, index: int = 0) -> dict[str, object]:
    return delta(index, type="text_delta", text=words)


def stop(index: int = 0) -> dict[str, object]:
    return {"type": "content_block_stop", "index": index}


def reason(why: str | None = "end_turn", **usage: int) -> dict[str, object]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": why, "stop_sequence": None},
        "usage": usage or {"output_tokens": 7},
    }


PING = {"type": "ping"}
END = {"type": "message_stop"}
THINKING = {"type": "thinking", "thinking": "", "signature": ""}
TOOL = {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
HELLO = (start(), block(), PING, text("Hel"), text("lo"), stop(), reason(), END)
"""A whole message with one block."""
AGENT = (
    start(input_tokens=3, cache_creation_input_tokens=20, cache_read_input_tokens=100, output_tokens=1),
    block(0, **THINKING),
    PING,
    delta(0, type="thinking_delta", thinking="hm"),
    delta(0, type="signature_delta", signature="c2ln"),
    stop(0),
    block(1),
    text("Lööking", 1),
    stop(1),
    block(2, **TOOL),
    delta(2, type="input_json_delta", partial_json=""),
    delta(2, type="input_json_delta", partial_json='{"path": "a'),
    delta(2, type="input_json_delta", partial_json='.py"}'),
    stop(2),
    reason("tool_use", output_tokens=42),
    END,
)
"""A message such as an agent gets: thinking, text, a tool call."""
