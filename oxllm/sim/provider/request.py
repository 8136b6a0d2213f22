"""What arrived at a provider, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from oxllm.sim.provider.chance import digest


class SimRequest(msgspec.Struct, frozen=True):
    """One HTTP request as it came in. Header names are lower-case."""

    method: str
    path: str
    """Raw, with the query if there is one."""
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    ordinal: int
    """1 for the first request of this provider, in order of arrival."""

    def get(self, name: bytes) -> str | None:
        """The first header of that name."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), None)


class BadAsk(ValueError):
    """The request asks for nothing that a provider could answer. `status` is what it would say."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


class Ask(msgspec.Struct, frozen=True):
    """A chat or embeddings request, read."""

    model: str
    embeddings: bool = False
    stream: bool = False
    n: int = 1
    wants_usage: bool = False
    max_tokens: int | None = None
    tool: str | None = None
    """Name of the function to call, when the answer is to be a tool call."""
    base64: bool = False
    dimensions: int = 8
    prompt_tokens: int = 0
    inputs: tuple[str, ...] = ()
    """Digest of each text of an embeddings request, or the one digest of a chat's messages."""


def read(body: bytes, embeddings: bool) -> Ask:
    """The body as an Ask. Raises BadAsk."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadAsk("We could not parse the JSON body of your request.") from None
    if not isinstance(data, dict) or not isinstance(data.get("model"), str):
        raise BadAsk("you must provide a model parameter", "model")
    return _embeddings(data) if embeddings else _chat(data)


def _chat(data: dict[str, Any]) -> Ask:
    messages = data.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadAsk("Missing required parameter: 'messages'.", "messages")
    options = data.get("stream_options")
    limit = data.get("max_completion_tokens", data.get("max_tokens"))
    return Ask(
        model=data["model"],
        stream=data.get("stream") is True,
        n=data["n"] if isinstance(data.get("n"), int) and 1 <= data["n"] <= 128 else 1,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        max_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        tool=_tool(data, messages),
        prompt_tokens=_tokens(messages),
        inputs=(fingerprint(messages),),
    )


def _embeddings(data: dict[str, Any]) -> Ask:
    given = data.get("input")
    if not given:
        raise BadAsk("Missing required parameter: 'input'.", "input")
    texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
    size = data.get("dimensions")
    return Ask(
        model=data["model"],
        embeddings=True,
        base64=data.get("encoding_format") == "base64",
        dimensions=size if isinstance(size, int) and 1 <= size <= 4096 else 8,
        prompt_tokens=_tokens(given),
        inputs=tuple(fingerprint(text) for text in texts),
    )


def fingerprint(content: Any) -> str:
    """The part of a request that decides its answer: the messages, or one input. White space of the JSON, the
    model's name and every option are left out, so a gateway may rewrite those."""
    return digest(msgspec.json.encode(content).decode(), size=16).hex()


def _tool(data: dict[str, Any], messages: list[Any]) -> str | None:
    """The first function offered, unless the last message already brings a tool's result."""
    tools = data.get("tools")
    last = messages[-1]
    if not tools or data.get("tool_choice") == "none" or (isinstance(last, dict) and last.get("role") == "tool"):
        return None
    function = tools[0].get("function") if isinstance(tools, list) and isinstance(tools[0], dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def _tokens(content: Any) -> int:
    """About four characters a token, which is all that a limit or a usage figure needs here."""
    return max(1, len(msgspec.json.encode(content)) // 4)
