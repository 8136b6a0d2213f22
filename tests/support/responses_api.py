"""What a provider of the Responses API sends: the events of an answer, as in the API's reference."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

ID = "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b"
USAGE: Json = {
    "input_tokens": 75,
    "input_tokens_details": {"cached_tokens": 64},
    "output_tokens": 42,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 117,
}


def event(type: str, number: int = 0, **members: Any) -> Json:
    return {"type": type, "sequence_number": number, **members}


def response(status: str = "completed", output: list[Json] | None = None, **members: Any) -> Json:
    return {
        "id": ID,
        "object": "response",
        "created_at": 1741476542,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "big-1",
        "output": output or [],
        "usage": USAGE if status in {"completed", "incomplete"} else None,
        **members,
    }


def message(text: str = "", status: str = "in_progress") -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": content}


REASONING: Json = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAA"}
CALL: Json = {
    "id": "fc_1",
    "type": "function_call",
    "status": "in_progress",
    "call_id": "c",
    "name": "f",
    "arguments": "",
}
HOSTED = ("web_search", "file_search", "code_interpreter", "mcp", "image_generation")


def answer(*parts: str, thinks: bool = False, **completed: Any) -> list[Json]:
    """The events of an answer whose text comes in `parts`. `thinks`: a reasoning item comes first."""
    index = int(thinks)
    place: dict[str, Any] = {"item_id": "msg_1", "output_index": index, "content_index": 0}
    text = "".join(parts)
    whole = message(text, "completed")
    output = [*([REASONING] if thinks else []), whole]
    part = {"type": "output_text", "text": "", "annotations": []}
    events = [event("response.created", response=response("in_progress"))]
    events.append(event("response.in_progress", response=response("in_progress")))
    if thinks:
        events.append(event("response.output_item.added", output_index=0, item=REASONING))
        events.append(event("response.output_item.done", output_index=0, item=REASONING))
    events.append(event("response.output_item.added", output_index=index, item=message()))
    events.append(event("response.content_part.added", **place, part=part))
    events += [event("response.output_text.delta", **place, delta=text, logprobs=[]) for text in parts]
    events.append(event("response.output_text.done", **place, text=text, logprobs=[]))
    events.append(event("response.content_part.done", **place, part={**part, "text": text}))
    events.append(event("response.output_item.done", output_index=index, item=whole))
    events.append(event("response.completed", response=response("completed", output, **completed)))
    return [{**members, "sequence_number": number} for number, members in enumerate(events)]


def sse(*events: Json | bytes, names: bool = True) -> bytes:
    """Events as they are sent; bytes are data that is not an event. `names`: with `event:` lines."""
    return b"".join(b"data: %b\n\n" % one if isinstance(one, bytes) else _one(one, names) for one in events)


def _one(members: Json, names: bool) -> bytes:
    name = f"event: {members['type']}\n".encode() if names and "type" in members else b""
    return name + b"data: " + json.dumps(members).encode() + b"\n\n"


def parse(stream: bytes) -> list[Json]:
    """The events that a client gets; AssertionError if an `event:` line differs from its event's type."""
    found = []
    for text in stream.decode().split("\n\n")[:-1]:
        lines = [line.partition(": ") for line in text.split("\n")]
        data = "\n".join(value for field, _, value in lines if field == "data")
        if data != "[DONE]":
            found.append(json.loads(data))
            assert [value for field, _, value in lines if field == "event"] == [found[-1]["type"]]
    return found
