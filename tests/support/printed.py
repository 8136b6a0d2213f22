"""Compares terminal output in a document with what a terminal shows."""

from __future__ import annotations

import re

from oxllm.core.routing.cooldown import Skip

NUMBER = re.compile(r"-(?= |$)|\b[\d.,]+(?: (?:k|M|ms|s|min|%))*(?: \d+ s)?(?=\W|$)")
WORDS = "|".join(re.escape(word) for word in ("ok", "ready", "half-open", *(skip.value for skip in Skip)))
STATE = re.compile(rf" (?:{WORDS})(?:, \d+ (?:s|min) left)?(?= |$)")


def shape(text: str) -> list[str]:
    """The lines without what depends on time, port, load and luck: all numbers and states made the same."""
    text = re.sub(r"oxllm-[0-9a-f]{16}|\d{4}-\d\d-\d\dT[\d:]+Z", "#", text)
    return [" ".join(NUMBER.sub("#", STATE.sub(" STATE", line)).split()) for line in text.strip().splitlines()]
