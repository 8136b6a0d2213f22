"""What an error may show of a configuration file: each character that is, or may be, part of a credential is veiled.

In valid TOML it is certain which key a value belongs to. The values of `PLAIN` keys, and of obvious misspellings of
them, are shown; credentials and the values of other unknown keys are not. Of what is not TOML, `guess` shows less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from oxllm.config.credentials import PLAIN, SCALAR, SECRET_KEYS, is_credential, is_near, is_plain
from oxllm.config.guess import Guess
from oxllm.config.lines import Path, Places
from oxllm.config.masking import COMMENT, VEIL, covered, is_variables, lift, masked


def shown(value: str) -> str:
    """The value of a PLAIN key as a message may repeat it."""
    return lift(masked(value))


def veiled(text: str, places: Places | None) -> str:
    """The text under its veil. `places`: where everything is in it; None if it is not TOML."""
    text = text.replace(VEIL, "\N{REPLACEMENT CHARACTER}").replace(COMMENT, "\N{REPLACEMENT CHARACTER}")
    if places is None:
        return "\n".join(Guess().lines(text))
    return _known(text, places)


def _known(text: str, places: Places) -> str:
    parts: list[str] = []
    end = 0
    for start, stop, plain in sorted(_values(text, places)):
        if start >= end:
            parts += [_between(text[end:start]), _value(text[start:stop], plain)]
            end = stop
    parts.append(_between(text[end:]))
    return "".join(parts)


def _values(text: str, places: Places) -> Iterator[tuple[int, int, bool]]:
    """Start and end of each value that is not a table or an array, and whether it may be shown."""
    for path, span in places.spans.items():
        value = text[span.value : span.value_end]
        if not value.startswith(("[", "{")):
            yield span.value, span.value_end, is_plain(path) or _is_slip(path, value)


def _is_slip(path: Path, value: str) -> bool:
    """Is it the value of an unknown key that is probably a misspelt plain one, or a harmless scalar?"""
    keys = [part for part in path if isinstance(part, str)]
    if any(key in SECRET_KEYS or is_credential(key) for key in keys):
        return False
    return SCALAR.fullmatch(value) is not None or is_near(keys[-1], PLAIN)


_OUTSIDE = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*")


def _between(text: str) -> str:
    """Keys, brackets and comments."""
    return _OUTSIDE.sub(lambda found: COMMENT * len(found[0]) if found[0][0] == "#" else masked(found[0]), text)


def _value(text: str, plain: bool) -> str:
    quotes = next((quote for quote in ('"""', "'''", '"', "'") if text.startswith(quote)), "")
    inner = text[len(quotes) : len(text) - len(quotes)]
    if plain or (inner and is_variables(inner)):
        return masked(text)
    return quotes + covered(inner) + quotes
