"""The endpoints of a provider: maps method and path to an operation. One file per protocol."""

from __future__ import annotations

import functools
import re

from oxllm.sim.provider.exchange import Operation
from oxllm.sim.provider.protocols import chat, completions, embeddings, kept, messages, models, other, responses

_ENDPOINTS: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/chat/completions", chat.CHAT),
    ("POST", "/completions", completions.COMPLETIONS),
    ("POST", "/embeddings", embeddings.EMBEDDINGS),
    ("POST", "/responses", responses.RESPONSES),
    ("POST", "/responses/compact", responses.COMPACT),
    ("POST", "/responses/input_tokens", responses.INPUT_TOKENS),
    ("GET", "/responses/{id}", kept.RETRIEVE),
    ("DELETE", "/responses/{id}", kept.DELETE),
    ("POST", "/responses/{id}/cancel", kept.CANCEL),
    ("GET", "/responses/{id}/input_items", kept.INPUT_ITEMS),
    ("POST", "/messages", messages.MESSAGES),
    ("POST", "/messages/count_tokens", messages.COUNT_TOKENS),
    ("POST", "/rerank", other.RERANK),
    ("POST", "/moderations", other.MODERATIONS),
    ("POST", "/images/generations", other.IMAGES),
    ("POST", "/audio/speech", other.SPEECH),
    ("GET", "/models", models.MODELS),
    ("GET", "/models/{id}", models.MODELS),
)
_COMPILED = [
    (method, re.compile(path.replace("{id}", "(?P<id>.+)" if "/models" in path else "(?P<id>[^/]+)") + "$"), operation)
    for method, path, operation in _ENDPOINTS
]
"""Model ids may contain slashes, ids of answers may not."""


class Unknown(Operation):
    """A path that is not served; the error has OpenAI's shape."""

    protocol = "chat"


class UnknownMessages(Unknown):
    """The same, for clients that send an Anthropic version."""

    protocol = "messages"


UNKNOWN, UNKNOWN_MESSAGES = Unknown(), UnknownMessages()


@functools.lru_cache(256)
def find(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation of a path (without its query, and with any prefix), and the values of its placeholders."""
    for known, pattern, operation in _COMPILED:
        if known == method and (match := pattern.search(path)) is not None:
            return operation, match.groupdict()
    return None
