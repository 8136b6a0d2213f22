"""How each provider speaks: its headers, its stream habits, its error bodies. One file each, imported when used."""

from __future__ import annotations

import importlib

from oxllm.sim.dialects.openai import OpenAI

NAMES = ("openai", "azure", "anthropic", "groq", "openrouter", "vllm", "ollama")


def load(name: str) -> OpenAI:
    """The dialect of that name, which is one of NAMES."""
    dialect = importlib.import_module(f"{__name__}.{name}").DIALECT
    assert isinstance(dialect, OpenAI)
    return dialect
