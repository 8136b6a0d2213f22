"""A request that arrived at a provider, and what it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from oxllm.sim.dialects.base import Error, Json


class SimRequest(msgspec.Struct, frozen=True):
    """One HTTP request as received. Header names are lower-case."""

    method: str
    path: str
    """Raw, with its query."""
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    ordinal: int
    """1 for the first request of this provider, in order of arrival."""
    came: float | None = None
    """When it arrived, if it was only read later."""

    def get(self, name: bytes) -> str | None:
        """The first header of that name."""
        for key, value in self.headers:
            if key == name:
                return value.decode("latin-1")
        return None


class BadAsk(ValueError):
    """The request is invalid. `status` and `code` are what a provider would answer; `word` is that of
    `dialects.base.Error`."""

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
        """The error to pass to a dialect."""
        return Error(self.word, self.status, message=str(self), param=self.param, code=self.code)


class Ask(msgspec.Struct, frozen=True):
    """A parsed request."""

    model: str = ""
    stream: bool = False
    n: int = 1
    wants_usage: bool = False
    max_tokens: int | None = None
    tool: str | None = None
    """Name of the function to call, if the answer must be a tool call."""
    base64: bool = False
    dimensions: int = 8
    prompt_tokens: int = 0
    inputs: tuple[str, ...] = ()
    """A digest of each text in an embeddings request, or one digest of a chat's messages."""
    generates: bool = False
    """The answer is generated, token by token."""
    identity: str = ""
    """The id in the path."""
    schema: Json | None = None
    """The schema of the answer, or of the tool's arguments."""
    data: Json = {}
    """The body, for fields that only one operation reads."""

    @property
    def asked(self) -> str | None:
        """Fingerprint of what is asked; None if nothing is."""
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
    """A value that must exist, be of one of these types, and not be empty. Raises BadAsk."""
    value = data.get(name)
    if not isinstance(value, kinds) or not value:
        raise BadAsk(f"Missing required parameter: '{name}'.", name)
    return value


ANY_OBJECT: Json = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
"""For clients that want JSON without saying which."""


def schema_of(tools: object, name: str, key: str) -> Json | None:
    """The schema of the tool of that name, if it has properties."""
    for tool in tools if isinstance(tools, list) else ():
        found = tool.get(key) if isinstance(tool, dict) and tool.get("name") == name else None
        if isinstance(found, dict) and found.get("properties"):
            return found
    return None


def parsed(text: str) -> object:
    """Parse JSON; an empty object if it was cut short."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}


def whole_number(value: object, low: int, high: int, default: int) -> int:
    """The value if it is an integer within the bounds, else the default."""
    sound = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    return value if sound and isinstance(value, int) else default


def token_limit(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def fingerprint(content: Any) -> str:
    """Digest of the part of a request that decides its answer: the messages, or one input. The JSON's white space, the
    model's name and all options are left out, so that a gateway may rewrite those."""
    return weighed(content)[0]


def token_count(content: Any) -> int:
    """About four characters a token, which is accurate enough for limits and usage here."""
    return weighed(content)[1]


def weighed(content: Any) -> tuple[str, int]:
    """The fingerprint and the token count of the same content."""
    encoded = msgspec.json.encode(content)
    return blake2b(encoded, digest_size=16).hexdigest(), max(1, len(encoded) // 4)
