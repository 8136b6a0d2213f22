"""What may be shown of a configuration file that is not TOML.

Where a value begins is uncertain there: a quote, a bracket or a line break may be missing or extra. A word is shown
only if it is a known key, a name where a name must be, or the one value right after a PLAIN key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from oxllm.config.credentials import CREDENTIAL_NAME, KNOWN, OF_A_MODEL, PLAIN, SCALAR, TABLES, is_credential, is_near
from oxllm.config.masking import COMMENT, VEIL, covered, is_variables, masked

_TOKENS = re.compile(
    r"""(?P<comment>\#.*)
    | (?P<string>"(?:\\.|[^"\\])*" | '[^']*')
    | (?P<open>["'\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e].*)
    | (?P<variable>\$\{[A-Za-z_][A-Za-z0-9_]*\})
    | (?P<mark>[=,\[\]{}])
    | (?P<blank>\s+)
    | (?P<word>[^\s"'=,\[\]{}\#\u201c\u201d\u2018\u2019]+)""",
    re.VERBOSE,
)
_HEADING = re.compile(r"\s*\[\[?\s*([A-Za-z_]+)((?:\s*\.\s*[\w/.:-]+)*)\s*\]{0,2}\s*(?:#.*)?$")
_HEADS = re.compile(r"\s*\[+\s*[A-Za-z_]")
_PLAIN_TEXT = re.compile(r"[^=@?#\"']{0,200}")
_PLAIN_WORD = re.compile(r"\$?[\w.:/*%+-]{1,60}")
_TYPOGRAPHIC = "[\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e]"
_SMART = re.compile(rf"{_TYPOGRAPHIC}([\w.:/ -]{{0,60}}){_TYPOGRAPHIC}?\s*[,\]}}]*\s*")
_NAME = re.compile(r"[A-Za-z_][\w./:-]{0,40}")


class Bracket(NamedTuple):
    """One that is open."""

    mark: str
    """`[` or `{`."""
    shown: frozenset[str]
    """The keys whose values may be shown inside."""


class Guess:
    """Veils a broken file line by line, token by token, trusting none of its structure.

    A value is shown if it is due, as the one right after a PLAIN key, and nothing around it speaks against that:
    neither its table, nor a bracket around it, nor how the line before has ended.
    """

    def __init__(self) -> None:
        # Of the current table.
        self._secret = False
        """It holds credentials."""
        self._any_key = True
        """Its keys may be any name: it is [virtual_models], or no table has begun."""
        # Of what is open where the current token begins.
        self._brackets: list[Bracket] = []
        self._key: str | None = None
        self._due = False
        """The value of `_key` comes next."""
        self._before = ""
        """The token before, in this line or the one before."""
        # What speaks against showing more.
        self._astray = False
        """The line before ended just before the value of a key that is not plain."""
        self._suspect = False
        """Something before may have been part of a credential, which may continue here."""

    def lines(self, text: str) -> Iterator[str]:
        """The text's lines, veiled."""
        for line in text.split("\n"):
            yield self._line(line)

    def _line(self, line: str) -> str:
        heading = _HEADING.fullmatch(line.rstrip("\r"))
        if _HEADS.match(line) and not self._in_hidden_list():
            self._any_key = False
        if heading is not None and is_near(heading[1], TABLES) and not self._in_hidden_list():
            self._begin_table(heading)
            return masked(re.sub(r"#.*", lambda found: COMMENT * len(found[0]), line))
        self._begin_line()
        name = CREDENTIAL_NAME.search(line)
        named = name.end() if name else len(line)
        veiled = []
        for token in _TOKENS.finditer(line):
            veiled.append(self._token(token, line, named))
            if token.lastgroup not in ("blank", "comment"):
                self._before = token[0]
                self._suspect = self._suspect or token.lastgroup == "open"
        return "".join(veiled)

    def _begin_table(self, heading: re.Match[str]) -> None:
        self._any_key = not is_near(heading[1], TABLES[:-1])
        self._secret = any(map(is_credential, heading[2].split(".")))
        self._brackets, self._key, self._due, self._suspect = [], None, False, False

    def _begin_line(self) -> None:
        self._astray = self._before == "=" and self._key not in PLAIN
        if self._in_shown_list() and self._before in ("[", ","):
            self._due = True  # the list goes on
        else:
            self._key, self._due = None, False
        self._before = ""

    def _in_hidden_list(self) -> bool:
        """May a line that begins with a bracket be an item of a list of which nothing may be shown?"""
        return bool(self._brackets) and not self._brackets[-1].shown

    def _in_shown_list(self) -> bool:
        return self._key in self._shown_keys() and self._brackets[-1:] != [] and self._brackets[-1].mark == "["

    def _shown_keys(self) -> frozenset[str]:
        """The keys whose values may be shown here."""
        if self._secret or self._astray:
            return frozenset()
        return PLAIN.intersection(*(bracket.shown for bracket in self._brackets))

    def _token(self, token: re.Match[str], line: str, named: int) -> str:
        """A token, as it may be shown. `named`: where the name of a credential ends in its line."""
        text, kind = token[0], token.lastgroup
        if kind == "comment":
            return COMMENT * len(text)
        if kind == "blank":
            return text
        if kind == "mark":
            self._mark(text)
            return text
        if _is_key(line, token.end()) and kind != "open":
            return self._name(text, line[: token.start()], line[token.end() :])
        if kind == "variable" or (kind == "string" and len(text) > 2 and is_variables(text[1:-1])):
            return text
        shown = self._value(text, str(kind)) if token.start() < named or self._plain_line(line) else _quoted(text)
        self._due = self._due and self._in_shown_list()
        self._suspect = self._suspect or VEIL in shown
        return shown

    def _plain_line(self, line: str) -> bool:
        """Is this the line of a plain key, in which a credential's name is only part of the value?"""
        if self._key not in PLAIN or line.count('"') % 2:
            return False
        return not re.search(rf"(?:{CREDENTIAL_NAME.pattern})\W*=", line)

    def _mark(self, mark: str) -> None:
        if mark in "[{":
            self._brackets.append(Bracket(mark, self._below(self._key)))
        elif mark in "]}":
            if self._brackets:
                self._brackets.pop()
            self._due = False
        elif mark == "=":
            self._due = self._before != "="
        elif self._in_shown_list():
            self._due = True

    def _below(self, key: str | None) -> frozenset[str]:
        """The keys whose values may be shown inside brackets that follow this key."""
        if self._before not in ("", "=", "[", ",") or key == "":
            return frozenset()
        if key in PLAIN or key in TABLES or (key is None and self._brackets):
            return PLAIN
        return OF_A_MODEL if self._any_key and (key is None or not is_credential(key)) else frozenset()

    def _name(self, text: str, before: str, behind: str) -> str:
        """A key, as it may be shown. `before` and `behind`: the rest of its line."""
        key = text.strip("\"'")
        first = not before.strip()
        if first and self._brackets and self._brackets[-1].mark == "[":
            self._brackets.clear()  # a list cannot hold a key, so one was not closed
        if key in KNOWN and (first or self._before in (",", "{", "[")):
            self._suspect = False
        self._key, self._due = key if first or self._brackets else "", False
        if key in KNOWN or (not self._suspect and _NAME.fullmatch(key) and self._is_free(key, first, behind)):
            return masked(text)
        return _quoted(text)

    def _is_free(self, key: str, first: bool, behind: str) -> bool:
        """May an unknown name be here: a mistyped key, a virtual model's name, a header's?"""
        if first:
            return re.match(r"\s*=\s*[\[{]", behind) is not None or is_near(key, KNOWN)
        if self._before not in (",", "{") or not self._brackets or self._brackets[-1].mark != "{":
            return False
        hidden = [bracket.mark for bracket in self._brackets if not bracket.shown]
        apart = behind.startswith(" ")  # without the space it may be base64, ending in =
        return not hidden or (hidden == ["{"] and apart)

    def _value(self, text: str, kind: str) -> str:
        """A value, or a word where a value may be, as it may be shown."""
        if SCALAR.fullmatch(text) and (self._key is None or not is_credential(self._key)) and not self._suspect:
            return text
        begins = self._key is None and not self._before and not self._suspect and not self._brackets
        if begins and kind == "word":  # a key without its =
            self._key = text.rstrip(":")
            return text if is_near(self._key, KNOWN) else _quoted(text)
        if not self._due or self._key not in self._shown_keys() or not _is_harmless(text, kind):
            return _quoted(text)
        return masked(text)


def _is_key(line: str, at: int) -> bool:
    return re.match(r"\s*=", line[at:]) is not None


def _is_harmless(text: str, kind: str) -> bool:
    if CREDENTIAL_NAME.search(text.strip("\"'")) and not CREDENTIAL_NAME.fullmatch(text.strip("\"'")):
        return False
    if kind == "word":
        return _PLAIN_WORD.fullmatch(text) is not None
    if kind == "string":
        return _PLAIN_TEXT.fullmatch(text[1:-1]) is not None
    return _SMART.fullmatch(text) is not None or re.fullmatch(r"[\"'][\w.:/*+-]+\s*[,\]}]*\s*", text) is not None


def _quoted(text: str) -> str:
    """A value, hidden but for its quotes, which may be what is wrong."""
    first = text[0] if text[0] in "\"'\u201c\u201d\u2018\u2019" else ""
    last = text[-1] if first and len(text) > 1 and text[-1] in "\"'\u201c\u201d\u2018\u2019" else ""
    return first + covered(text[len(first) : len(text) - len(last)]) + last
