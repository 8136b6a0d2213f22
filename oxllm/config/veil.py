"""What an error may show of a configuration file: each character that is, or may be, part of a credential is veiled.

Each line of a veiled text is as long as the original, so that positions are the same in both. `lift` makes it readable:
each veiled run becomes `***`, and comments are left out.

In valid TOML it is certain which key a value belongs to. The values of `PLAIN` keys, and of obvious misspellings of
them, are shown; credentials and the values of other unknown keys are not. If the file is not TOML, where a value begins
is uncertain: a quote, a bracket or a line break may be missing or extra. There a word is shown only if it is a known
key, a name where a name must be, or the one value right after a PLAIN key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher, get_close_matches

from oxllm.config.lines import Path, Places

VEIL, COMMENT = "\ufdd0", "\ufdd1"
"""Unicode noncharacters: no sane file holds them, and if one does they are replaced."""
HIDDEN = "***"

CREDENTIALS = ("admin_token", "api_key", "api_keys", "extra_body", "headers", "proxy")
SECRET_KEYS = frozenset((*CREDENTIALS, "base_url", "otel_endpoint", "auth"))
"""Keys whose bad values no message repeats, since they may hold credentials. An excerpt still shows the harmless rest
of a URL."""
TABLES = ("server", "timeouts", "breaker", "retry", "providers", "virtual_models")
PLAIN = frozenset(
    (
        *("host", "port", "bind_family", "otel_endpoint", "upstream_timeout_secs", "admin_allow", "admin_hosts"),
        *("health_allow", "cors_origins", "predictive_cooldown", "max_body_bytes", "max_connections"),
        *("max_in_flight", "max_buffered_bytes", "drain_timeout_secs", "drain_delay_secs"),
        *("connect", "first_byte", "answer", "idle", "request", "failures", "cooldown", "cooldown_max"),
        *("same_target", "max_attempts", "budget"),
        *("name", "enabled", "base_url", "api_key_file", "protocols", "models", "user_agent", "usage_in_stream"),
        *("ca_file", "targets", "hold_back", "hedge_after", "affinity", "content_filter_failover"),
        *("provider", "model", "tier", "weight"),
    )
)
"""Keys of the schema whose values are never secret. (`auth` is not among them: people write keys there.)"""
OF_A_MODEL = frozenset({"provider", "model", "tier", "weight", "targets", "hold_back", "hedge_after", "affinity"})
"""Those of them that occur below the name of a virtual model, which may be anything."""
KNOWN = PLAIN | SECRET_KEYS | {*TABLES}

_TELLING = re.compile(r"key|token|secret|passw|credential|cookie|authori[sz]ation", re.IGNORECASE)
"""In a key's name, a sign that it may hold a credential."""
_NAMED = re.compile("|".join(CREDENTIALS))
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
_SCALAR = re.compile(
    r"[+-]?[0-9][0-9_.:eE+-]{0,11}(?:[mk]?s|secs?|seconds|m|min|h|[kMG]i?B)?|true|false|[+-]?inf|[+-]?nan"
)
_OUTSIDE = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'|#[^\n]*")
_EMPTY_LINE = re.compile(r"[^\n]")
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


def shown(value: str) -> str:
    """The value of a PLAIN key as a message may repeat it."""
    return lift(_masked(value))


def is_plain(path: Path) -> bool:
    """Is this a key of the schema with no secret value? A text in place of a model's targets counts as one."""
    keys = [part for part in path if isinstance(part, str)]
    if keys[:1] == ["virtual_models"]:
        return all(key in PLAIN or key == "timeouts" for key in keys[2:])
    return len(keys) > 1 and keys[0] in TABLES and all(key in PLAIN or key == "timeouts" for key in keys[1:])


def veiled(text: str, places: Places | None) -> str:
    """The text under its veil. `places`: where everything is in it; None if it is not TOML."""
    text = text.replace(VEIL, "\N{REPLACEMENT CHARACTER}").replace(COMMENT, "\N{REPLACEMENT CHARACTER}")
    if places is None:
        return "\n".join(_Guess().lines(text))
    return _known(text, places)


# Valid TOML.


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
    if any(key in SECRET_KEYS or _is_credential(key) for key in keys):
        return False
    return _SCALAR.fullmatch(value) is not None or _is_near(keys[-1], PLAIN)


def _is_near(key: str, names: Iterable[str]) -> bool:
    return bool(get_close_matches(key.lower(), names, n=1, cutoff=0.7))


def _between(text: str) -> str:
    """Keys, brackets and comments."""
    return _OUTSIDE.sub(lambda found: COMMENT * len(found[0]) if found[0][0] == "#" else _masked(found[0]), text)


def _value(text: str, plain: bool) -> str:
    quotes = next((quote for quote in ('"""', "'''", '"', "'") if text.startswith(quote)), "")
    inner = text[len(quotes) : len(text) - len(quotes)]
    if plain or (inner and _variables(inner)):
        return _masked(text)
    return quotes + _covered(inner) + quotes


def _variables(text: str) -> bool:
    """Is it nothing but variables? Those are not secret."""
    return not _VARIABLE.sub("", text)


def _masked(text: str) -> str:
    """The text with everything veiled that looks like a credential."""
    if len(text) > MASKED_MAX:
        return _covered(text)
    return _LOOKS.sub(lambda found: _covered(found[0]), text)


def _covered(text: str) -> str:
    return _EMPTY_LINE.sub(VEIL, text)


# Not valid TOML.

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


def _is_credential(key: str) -> bool:
    """Might this be a credential's key, mistyped or from another program?"""
    low = key.strip("\"'").lower()
    if low in PLAIN or low in TABLES:
        return False
    alike = (SequenceMatcher(None, low, name).ratio() >= (0.7 if name == "proxy" else 0.6) for name in CREDENTIALS)
    return bool(_TELLING.search(low)) or any(alike)


class _Guess:
    """Veils a broken file line by line, trusting none of its structure."""

    def __init__(self) -> None:
        self.dark = False
        """The current table holds credentials."""
        self.names = True
        """Keys of the current table may be any name: it is [virtual_models], or no table has begun."""
        self.lost = False
        """The previous line ended just before the value of a key that is not plain."""
        self.owed = False
        """Something before may have been part of a credential, which may continue here."""
        self.stack: list[tuple[str, frozenset[str]]] = []
        """Open brackets, each with the keys whose values may be shown inside."""
        self.key: str | None = None
        self.fresh = False
        """The value of `key` comes next."""
        self._last = ""
        """The previous token, in this line or the one before."""

    def lines(self, text: str) -> Iterator[str]:
        for line in text.split("\n"):
            yield self.line(line)

    def line(self, line: str) -> str:
        heading = _HEADING.fullmatch(line.rstrip("\r"))
        if _HEADS.match(line) and not self._in_list():
            self.names = False
        if heading is not None and _is_near(heading[1], TABLES) and not self._in_list():
            self.names = not _is_near(heading[1], TABLES[:-1])
            self.dark = any(map(_is_credential, heading[2].split(".")))
            self.stack, self.owed, self.key, self.fresh = [], False, None, False
            return _masked(re.sub(r"#.*", lambda found: COMMENT * len(found[0]), line))
        named = _NAMED.search(line)
        return "".join(self._shown(found, line, named.end() if named else len(line)) for found in self._tokens(line))

    def _in_list(self) -> bool:
        """May a line that begins with a bracket be an item of a list?"""
        return bool(self.stack) and not self.stack[-1][1]  # a list of which nothing may be shown

    def _tokens(self, line: str) -> Iterator[re.Match[str]]:
        self.lost = self._last == "=" and self.key not in PLAIN
        self.key, self.fresh = (self.key, True) if self._goes_on() else (None, False)
        self._last = ""
        for found in _TOKENS.finditer(line):
            yield found
            if found.lastgroup not in ("blank", "comment"):
                self._last = found[0]
                self.owed = self.owed or found.lastgroup == "open"

    def _goes_on(self) -> bool:
        """Does a list of plain values continue in this line?"""
        return self._in_plain_list() and self._last in ("[", ",")

    def _in_plain_list(self) -> bool:
        return self.key in self._shown_keys() and self.stack[-1:] != [] and self.stack[-1][0] == "["

    def _shown_keys(self) -> frozenset[str]:
        """The keys whose values may be shown here."""
        if self.dark or self.lost:
            return frozenset()
        return PLAIN.intersection(*(keys for _, keys in self.stack))

    def _shown(self, token: re.Match[str], line: str, named: int) -> str:
        text, kind = token[0], token.lastgroup
        if kind == "comment":
            return COMMENT * len(text)
        if kind == "blank":
            return text
        if kind == "mark":
            self._mark(text)
            return text
        if _is_key(line, token.end()) and kind != "open":
            return self._named(text, line[: token.start()], line[token.end() :])
        if kind == "variable" or (kind == "string" and len(text) > 2 and _variables(text[1:-1])):
            return text
        shown = self._text(text, str(kind)) if token.start() < named or self._plain_line(line) else _quoted(text)
        self.fresh = self.fresh and self._in_plain_list()
        self.owed = self.owed or VEIL in shown
        return shown

    def _plain_line(self, line: str) -> bool:
        """Is this the line of a plain key, in which a credential's name is only part of the value?"""
        return self.key in PLAIN and not re.search(rf"(?:{_NAMED.pattern})\W*=", line) and line.count('"') % 2 == 0

    def _mark(self, mark: str) -> None:
        if mark in "[{":
            self.stack.append((mark, self._below(self.key)))
        elif mark in "]}":
            if self.stack:
                self.stack.pop()
            self.fresh = False
        elif mark == "=":
            self.fresh = self._last != "="
        elif self._in_plain_list():
            self.fresh = True

    def _below(self, key: str | None) -> frozenset[str]:
        """The keys whose values may be shown inside brackets that follow this key."""
        if self._last not in ("", "=", "[", ",") or key == "":
            return frozenset()
        if key in PLAIN or key in TABLES or (key is None and self.stack):
            return PLAIN
        return OF_A_MODEL if self.names and (key is None or not _is_credential(key)) else frozenset()

    def _named(self, text: str, before: str, behind: str) -> str:
        """A key, as it may be shown."""
        key = text.strip("\"'")
        first = not before.strip()
        if first and self.stack and self.stack[-1][0] == "[":
            self.stack.clear()  # a list cannot hold a key, so one was not closed
        if key in KNOWN and (first or self._last in (",", "{", "[")):
            self.owed = False
        self.key, self.fresh = key if first or self.stack else "", False
        if key in KNOWN or (not self.owed and _NAME.fullmatch(key) and self._is_free(key, first, behind)):
            return _masked(text)
        return _quoted(text)

    def _is_free(self, key: str, first: bool, behind: str) -> bool:
        """May an unknown name be here: a mistyped key, a virtual model's name, a header's?"""
        if first:
            return re.match(r"\s*=\s*[\[{]", behind) is not None or _is_near(key, KNOWN)
        if self._last not in (",", "{") or not self.stack or self.stack[-1][0] != "{":
            return False
        dark = [bracket for bracket, keys in self.stack if not keys]
        return not dark or (dark == ["{"] and behind.startswith(" "))  # without the space it may be base64, ending in =

    def _text(self, text: str, kind: str) -> str:
        """A value, or a word where a value may be, as it may be shown."""
        if _SCALAR.fullmatch(text) and (self.key is None or not _is_credential(self.key)) and not self.owed:
            return text
        begins = self.key is None and not self._last and not self.owed and not self.stack
        if begins and kind == "word":  # a key without its =
            self.key = text.rstrip(":")
            return text if _is_near(self.key, KNOWN) else _quoted(text)
        if not self.fresh or self.key not in self._shown_keys() or not _is_harmless(text, kind):
            return _quoted(text)
        return _masked(text)


def _is_key(line: str, at: int) -> bool:
    return re.match(r"\s*=", line[at:]) is not None


def _is_harmless(text: str, kind: str) -> bool:
    if _NAMED.search(text.strip("\"'")) and not _NAMED.fullmatch(text.strip("\"'")):
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
    return first + _covered(text[len(first) : len(text) - len(last)]) + last
