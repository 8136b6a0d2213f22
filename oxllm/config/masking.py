"""Text with what may not be shown of it masked.

A masked text is as long as the original, so that positions are the same in both. `lift` makes it readable: each masked
run becomes `***`, and comments are left out.
"""

from __future__ import annotations

import re

VEIL, COMMENT = "\ufdd0", "\ufdd1"
"""Unicode noncharacters: no sane file holds them, and if one does they are replaced."""
HIDDEN = "***"

_MARKED = r"""
    (?<![A-Za-z0-9])(?:(?:sk|gsk|pk|rk|xai|hf|r8|ghp|glpat)[-_]|AIza|eyJ)[-_A-Za-z0-9.]{4,}
    | \b(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{28,}\b
    | \b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b
    """
"""What looks like a credential, wherever it is: a vendor's prefix, a long run of letters and digits, a UUID."""
_MARKS = re.compile(_MARKED, re.VERBOSE)
_LOOKS = re.compile(rf"""(?<=://)[^\s"',]+(?=@) | {_MARKED} | [^\s"'/@=,]+(?=@) | (?<=[?])[^"'\s]+""", re.VERBOSE)
"""The same, and the parts of a URL before an @ or after a ?."""
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_NO_LINE_END = re.compile(r"[^\n]")
MASKED_MAX = 4096
"""Longest value, in characters, that is searched for credentials, which takes quadratic time. No name, address or path
is longer, and a longer value is not shown at all."""


def lift(veiled: str) -> str:
    """Part of a veiled line, made readable."""
    shown = re.sub(f"[{VEIL}{COMMENT}]+", lambda run: HIDDEN if VEIL in run[0] else "", veiled)
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in shown)


def unmarked(text: str) -> str:
    """A message of ours, with anything that looks like a credential hidden, since it may quote the file."""
    return _MARKS.sub(HIDDEN, text)


def is_variables(text: str) -> bool:
    """Is it nothing but variables? Those are not secret."""
    return not _VARIABLE.sub("", text)


def masked(text: str) -> str:
    """The text with everything veiled that looks like a credential."""
    if len(text) > MASKED_MAX:
        return covered(text)
    return _LOOKS.sub(lambda found: covered(found[0]), text)


def covered(text: str) -> str:
    """All of it veiled, but for its line ends."""
    return _NO_LINE_END.sub(VEIL, text)
