"""What a model and a provider may be called, both in a configuration and in a scene of the simulator."""

from __future__ import annotations

import re

from oxllm.config.problem import BadValueError

EMBEDDING = re.compile(r"embed|(?<![a-z0-9])(bge|e5|gte)(?![a-z0-9])", re.IGNORECASE)
"""Matches the name of an embedding model, as far as a name tells."""


def makes_vectors(*names: str) -> bool:
    """Does one of these look like the name of an embedding model?"""
    return any(map(EMBEDDING.search, names))


def check_name(text: str) -> None:
    """Raises BadValueError for an empty name or one with control characters (C0, C1, U+2028, U+2029): names go into
    headers, log lines and tables."""
    if not text.strip():
        raise BadValueError("is empty")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
        raise BadValueError("holds a control character", "remove it")


def check_provider_name(text: str) -> None:
    """In addition there must be no `/`, since `provider/model` is split at the first one. Raises BadValueError."""
    check_name(text)
    if "/" in text:
        raise BadValueError("holds a /", "write for example " + f'name = "{text.strip("/ ").replace("/", "-")}"')
    if text != text.strip():
        raise BadValueError("begins or ends with white space", "remove it")
    if text.startswith("-") or text in (".", ".."):  # an option in a shell, a dot segment in a URL
        raise BadValueError("cannot be typed as a name", "begin it with a letter or a digit")
