"""How each provider speaks: its headers, streams and error bodies. One module each, imported on first use."""

from __future__ import annotations

import functools
import importlib

from oxllm.sim.dialects.openai import OpenAI

NAMES = (
    "openai", "azure", "anthropic", "groq", "openrouter", "vllm", "ollama", "openai-responses", "anthropic-messages"
)  # fmt: skip
_AT = {
    ("anthropic-messages", "chat"): "anthropic",
    ("openai-responses", "chat"): "openai",
    ("openai", "responses"): "openai-responses",
    ("anthropic", "responses"): "openai-responses",
    ("anthropic-messages", "responses"): "openai-responses",
}
"""Dialect and protocol -> the dialect spoken there, if it is another."""


_BY_ADDRESS = {**{name: name for name in ("azure", "anthropic", "groq", "openrouter")}, "11434": "ollama"}
"""Part of an address -> the dialect spoken there."""


def suggested(address: str) -> str:
    """The dialect that the server at `HOST:PORT` most likely speaks."""
    return next((dialect for part, dialect in _BY_ADDRESS.items() if part in address), "openai")


@functools.cache
def load(name: str, protocol: str | None = None) -> OpenAI:
    """The dialect of that name (one of NAMES) for a protocol. For Messages everyone reports errors as Anthropic does:
    clients understand no others there."""
    if protocol == "messages":
        name = "anthropic-messages"
    elif protocol is not None:
        name = _AT.get((name, protocol if protocol == "responses" else "chat"), name)
    dialect = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").DIALECT
    assert isinstance(dialect, OpenAI)
    return dialect
