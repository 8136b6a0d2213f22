"""The line of a file that a problem is about, with what to underline in it, and nothing of a credential."""

from __future__ import annotations

import re
from difflib import get_close_matches

import msgspec

from oxllm.config.lines import Path, Places

SECRET_KEYS = frozenset({"api_key", "api_keys", "admin_token", "headers", "proxy", "extra_body", "base_url"})
"""Keys whose values (and what is below them) are never shown: they hold credentials, or may."""
LINE_MAX = 200
"""Characters of a line that are shown; the rest of a longer one is cut."""
HIDDEN = "***"

_STRING = re.compile(r"""\"(?:\\.|[^"\\])*(?:"|$)|'[^']*(?:'|$)|[\u201c\u201d\u2018\u2019].*""")
_UNQUOTED = re.compile(r"""(?<==)\s*[^\s"'\[{][^,\]}#]*""")
_VARIABLES = re.compile(r"""["'](?:\$\{[^}]*\})+["']""")
_URLS = frozenset({"base_url"})
"""Of their values only the credentials are hidden."""
_CREDENTIALS = sorted(SECRET_KEYS - _URLS)
_LONG = [name for name in _CREDENTIALS if len(name) > len("proxy")]
"""Those that a mistyped word may be meant for; `prot` is rather a port."""
_SECRET_NAME = re.compile(
    "|".join(sorted(SECRET_KEYS - _URLS)) + r"|key|token|secret|auth|password|cookie", re.IGNORECASE
)
_LOOKS_SECRET = re.compile(
    r"""\b(?:sk|gsk|pk|xai|hf|r8|key|AIza)[-_][A-Za-z0-9_-]+|[A-Za-z0-9_-]{32,}|[^\s"'/@=]+(?=@)|(?<=\?)[^"']+"""
)


class Excerpt(msgspec.Struct, frozen=True):
    """One line, ready to be shown."""

    text: str
    column: int
    """Of what is underlined, from 0."""
    width: int = 1


def excerpt_at(text: str, places: Places, path: Path, on_key: bool) -> Excerpt | None:
    """What a problem at `path` is about: the key, its value if that is on one line, or what lacks it."""
    if path not in places.spans and path not in places.lines:
        return excerpt_at(text, places, path[:-1], on_key) if path else None
    span = places.spans.get(path)
    if span is None:
        return _whole_line(text, places.lines[path], path)
    start, end = (span.key, span.key_end) if on_key or "\n" in text[span.value : span.value_end] else span[2:]
    return _excerpt(text, start, end, _is_secret(path))


def excerpt_of(text: str, line: int, column: int) -> Excerpt | None:
    """The line (from 1) of text that is no TOML, with its column (from 1) underlined."""
    lines = text.split("\n")
    if line > len(lines):
        return None
    content = lines[line - 1].rstrip("\r")
    if hides(content):  # where quotes are broken nobody knows where a secret ends
        head = key_of(content)
        return _window(_printable(f"{head} = {HIDDEN}"), min(column - 1, len(head)), 1)
    shown = _printable(_masked(content, content, secret=False))
    at = len(_masked(content[: column - 1], content, secret=False))
    return _window(shown, min(at, len(shown)), 1)


def _whole_line(text: str, line: int, path: Path) -> Excerpt | None:
    content = text.split("\n")[line - 1]
    start = sum(len(before) + 1 for before in text.split("\n")[: line - 1])
    indent = len(content) - len(content.lstrip())
    end = start + max(indent + 1, len(content.split("#")[0].rstrip()))
    return _excerpt(text, start + indent, end, _is_secret(path))


def masked(text: str, line: str) -> str:
    """Part of a line as it may be shown."""
    return _masked(text, line, secret=False)


def _is_secret(path: Path) -> bool:
    return any(part in SECRET_KEYS - _URLS for part in path)


def _excerpt(text: str, start: int, end: int, secret: bool) -> Excerpt:
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", start)
    line = text[first : len(text) if last < 0 else last].rstrip("\r")
    start, end = min(start - first, len(line)), min(end - first, len(line))
    before, marked, after = (_masked(part, line, secret) for part in (line[:start], line[start:end], line[end:]))
    return _window(_printable(before + marked + after), len(before), len(marked))


def _window(line: str, column: int, width: int) -> Excerpt:
    cut = max(0, column - LINE_MAX // 2)
    return Excerpt(line[cut : cut + LINE_MAX].rstrip(), column - cut, max(1, min(width, LINE_MAX // 2)))


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in line)


def key_of(line: str) -> str:
    """What is surely no more than the key of a credential: as much of the first word as the longest of them has."""
    found = re.match(rf"\W*\w{{0,{max(map(len, _CREDENTIALS))}}}", line)
    return found[0] if found else ""


def hides(line: str) -> bool:
    """May this line hold a credential?"""
    return bool(_SECRET_NAME.search(line)) or _nearly_secret(line)


def _nearly_secret(line: str) -> bool:
    """Does it begin with a mistyped key of a credential?"""
    word = re.match(r"\s*\W?(\w+)", line)
    return word is not None and bool(get_close_matches(word[1].lower(), _LONG, n=1, cutoff=0.75))


def _masked(part: str, line: str, secret: bool) -> str:
    """Part of a line without what may be a credential in it. Variables stay: they hold none."""
    if not secret and not hides(line):
        return _LOOKS_SECRET.sub(HIDDEN, part)
    part = _STRING.sub(lambda found: found[0] if _VARIABLES.fullmatch(found[0]) else f'"{HIDDEN}"', part)
    return _LOOKS_SECRET.sub(HIDDEN, _UNQUOTED.sub(f" {HIDDEN}", part))
