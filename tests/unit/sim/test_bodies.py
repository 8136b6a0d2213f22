"""Whatever JSON a client sends, a simulated provider answers or refuses it: a connection that is lost is a fault that
nobody asked for."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import play, scenario

TEXT = {"type": "text", "text": "x"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "m",
        "messages": [{"role": "user", "content": [TEXT]}, {"role": "tool", "tool_call_id": "1", "content": "r"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "n": 2,
        "max_tokens": 3,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    },
    "/v1/responses": {
        "model": "m",
        "input": [{"role": "user", "content": [TEXT]}, {"type": "reasoning", "encrypted_content": "e", "id": "i"}],
        "stream": True,
        "background": False,
        "store": True,
        "previous_response_id": "resp_1",
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "f", "parameters": SCHEMA}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "max_output_tokens": 5,
    },
    "/v1/messages": {
        "model": "m",
        "max_tokens": 5,
        "system": [TEXT],
        "messages": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}],
        "stream": True,
        "tools": [{"name": "f", "input_schema": SCHEMA}],
        "tool_choice": {"type": "tool", "name": "f"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    },
    "/v1/messages/count_tokens": {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"model": "m", "prompt": ["a", "b"], "n": 2, "stream": True, "max_tokens": 3},
    "/v1/embeddings": {"model": "m", "input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 8},
    "/v1/rerank": {"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1},
    "/v1/moderations": {"model": "m", "input": ["a", TEXT]},
    "/v1/images/generations": {"model": "m", "prompt": "p", "n": 2, "response_format": "b64_json"},
    "/v1/audio/speech": {"model": "m", "input": "x", "voice": "alloy", "response_format": "mp3"},
    "/v1/responses/compact": {"model": "m", "input": [TEXT]},
    "/v1/responses/input_tokens": {"model": "m", "input": "x"},
}
JUNK: tuple[object, ...] = (None, True, 0, -1, 1, 2.5, 10**18, "", "x", [], [1], {}, {"a": 1}, {"type": "x"})


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in it, with each of its keys."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield value, key
        yield from places(member)


@pytest.mark.parametrize("path", BODIES)
def test_a_body_with_anything_anywhere_is_answered_or_refused(path: str) -> None:
    for number in range(len(list(places(BODIES[path])))):
        for junk in JUNK:
            body = copy.deepcopy(BODIES[path])
            container, key = list(places(body))[number]
            container[key] = junk
            target = Provider(scenario("alpha"), "alpha", start=0.0)
            sent, _ = play(target.accept("POST", path, [], json.dumps(body).encode(), now=0.0))
            assert sent[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 400", b"HTTP/1.1 404"), body
