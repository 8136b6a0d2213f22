"""What arrived at a provider, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from oxllm.sim.dialects.base import Error, Json


class SimRequest(msgspec.Struct, frozen=True):
    """One HTTP request as it came in. Header names are lower-case."""

    method: str
    path: str
    """Raw, with the query if there is one."""
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    ordinal: int
    """1 for the first request of this provider, in order of arrival."""
    came: float | None = None
    """When it came, if it was read later only."""

    def get(self, name: bytes) -> str | None:
        """The first header of that name."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


class BadAsk(ValueError):
    """The request asks for nothing that a provider could answer. `status` and `code` are what it would say; `word` is
    that of `dialects.base.Error`."""

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, code: str | None = None, word: str = "invalid"
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code
        self.word = word

    @property
    def error(self) -> Error:
        """How a dialect is told of it."""
        return Error(self.word, self.status, message=str(self), param=self.param, code=self.code)


class Ask(msgspec.Struct, frozen=True):
    """A request, read."""

    model: str = ""
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
    generates: bool = False
    """The answer is made of tokens."""
    identity: str = ""
    """The id in the path."""
    schema: Json | None = None
    """What the answer, or the arguments of the tool, have to be."""
    data: Json = {}
    """The body, for what only one operation reads."""

    @property
    def asked(self) -> str | None:
        """By which what is asked is known; None if it asks nothing."""
        return self.inputs[0] if self.inputs else None


def body(request: SimRequest) -> Json:
    """The body as JSON, with a model. Raises BadAsk."""
    try:
        data = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadAsk("We could not parse the JSON body of your request.") from None
    if not isinstance(data, dict) or not isinstance(data.get("model"), str):
        raise BadAsk("you must provide a model parameter", "model")
    return data


def required(data: Json, name: str, kinds: type | tuple[type, ...]) -> Any:
    """A value that must be there, of a kind, and not empty. Raises BadAsk."""
    value = data.get(name)
    if not isinstance(value, kinds) or not value:
        raise BadAsk(f"Missing required parameter: '{name}'.", name)
    return value


ANY_OBJECT: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
"""For who wants JSON and does not say which."""


def schema_of(tools: object, name: str, key: str) -> Json | None:
    """The schema of the tool of that name, if it has members at all."""
    for tool in tools if isinstance(tools, list) else ():
        found = tool.get(key) if isinstance(tool, dict) and tool.get("name") == name else None
        if isinstance(found, dict) and found.get("properties"):
            return found
    return None


def parsed(text: str) -> object:
    """JSON that may have been cut short; then an empty object."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}


def whole_number(value: object, low: int, high: int, default: int) -> int:
    """A number in its bounds, or the default."""
    sound = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return value if sound and isinstance(value, int) else default


def token_limit(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def fingerprint(content: Any) -> str:
    """The part of a request that decides its answer: the messages, or one input. White space of the JSON, the
    model's name and every option are left out, so a gateway may rewrite those."""
    return weighed(content)[0]


def token_count(content: Any) -> int:
    """About four characters a token, which is all that a limit or a usage figure needs here."""
    return weighed(content)[1]


def weighed(content: Any) -> tuple[str, int]:
    """The fingerprint and the token count of the same content."""
    encoded = msgspec.json.encode(content)
    return blake2b(encoded, digest_size=16).hexdigest(), max(1, len(encoded) // 4)
