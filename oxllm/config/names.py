"""What a model and a provider may be called, in a configuration and in a scene of the simulator alike."""

from __future__ import annotations

import re

from oxllm.config.problem import BadValueError

EMBEDDING = re.compile(r"embed|(?<![a-z0-9])(bge|e5|gte)(?![a-z0-9])", re.IGNORECASE)
"""Names of models that make vectors, as far as a name can tell."""


def makes_vectors(*names: str) -> bool:
    """Is one of these the name of such a model?"""
    return any(map(EMBEDDING.search, names))


def check_name(text: str) -> None:
    """A name goes into a header, a log line and a table, so it holds no control character (C0, C1, U+2028). Raises
    BadValueError."""
    if not text.strip():
        raise BadValueError("is empty")
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
        raise BadValueError("holds a control character", "remove it")


def check_provider_name(text: str) -> None:
    """`provider/model` names a target, so a provider's name ends at the first `/`. Raises BadValueError."""
    check_name(text)
    if "/" in text:
        raise BadValueError("holds a /", "write for example " + f'name = "{text.strip("/ ").replace("/", "-")}"')
    if text != text.strip():
        raise BadValueError("begins or ends with white space", "remove it")
    if text.startswith("-") or text in (".", ".."):  # would be an option in a shell, a step up in a URL
        raise BadValueError("cannot be typed as a name", "begin it with a letter or a digit")
