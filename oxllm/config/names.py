"""What a model and a provider may be called, in a configuration and in a scene of the simulator alike."""

from __future__ import annotations

from oxllm.config.problem import BadValueError


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
