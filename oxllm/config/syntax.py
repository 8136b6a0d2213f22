"""Explains a file that is not valid TOML: where it breaks, and what was probably meant.

`tomllib` says where it stopped. The usual mistakes are a short list, and each has its own advice. A file in another
language altogether (YAML, JSON, LiteLLM's config) is recognised as such.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from typing import NamedTuple

from oxllm.config.masking import VEIL

GUESSED_MAX = 4096
"""Longest line, in characters, that is guessed about: guessing takes quadratic time, and nobody types a longer one."""
_PLACE = re.compile(r" \((?:at line (\d+), column (\d+)|at end of document)\)$")
_KEY = r"[A-Za-z0-9_-]+"
_STRINGS = re.compile(
    r"""\"\"\"(?:\\.|[^\\])*?\"\"\"|'''.*?'''|"(?!"")(?:\\.|[^"\\\n])*"|'(?!'')[^'\n]*'|\#[^\n]*|(\"\"\"|'''|["'])""",
    re.DOTALL,
)
"""Whole strings and comments; its group is the quote of a string that never ends."""
_PAIR = re.compile(rf"\s*{_KEY}(?:\s*\.\s*{_KEY})*\s*=")


class Wrong(NamedTuple):
    """What is wrong with a text, and what to write."""

    line: int
    column: int
    message: str
    help: str


class Stop(NamedTuple):
    """Where the parser stopped."""

    said: str
    lines: list[str]
    veiled: list[str]
    """The same without credentials: messages quote only this."""
    line: int
    """From 1, as is `column`."""
    column: int
    at_end: bool

    @property
    def text(self) -> str:
        return self.lines[self.line - 1] if self.line <= len(self.lines) else ""

    @property
    def before(self) -> str:
        return self.text[: self.column - 1]

    @property
    def after(self) -> str:
        return self.text[self.column - 1 :]

    def shown(self, start: int, end: int | None = None) -> str:
        """Part of the line, by offsets, with the VEIL over what may not be shown."""
        line = self.veiled[self.line - 1] if self.line <= len(self.veiled) else ""
        return line[start:end]


def explain(text: str, error: tomllib.TOMLDecodeError, veiled: str) -> Wrong:
    """What is wrong, and where. `veiled`: the text as it may be shown."""
    stop = _stop(text, error, veiled)
    if language := _another_language(text):
        return Wrong(1, 1, f"this is {language}; oxllm reads TOML", _advice_on(language))
    said = f"not valid TOML: {stop.said[:1].lower()}{_without_tuple(stop.said[1:])}"
    if stop.at_end and (opened := next((found for found in _STRINGS.finditer(text) if found[1]), None)):
        line_start = text.rfind("\n", 0, opened.start()) + 1
        place = text.count("\n", 0, line_start) + 1, opened.start() - line_start + 1
        return Wrong(*place, said, f"the text is not closed: write {opened[1]} at its end")
    for guess in _GUESSES if len(stop.text) <= GUESSED_MAX else ():
        if found := guess(stop):
            return Wrong(stop.line, stop.column, said, "" if VEIL in found else found)
    return Wrong(stop.line, stop.column, said, "")


def _stop(text: str, error: tomllib.TOMLDecodeError, veiled: str) -> Stop:
    """Taken from the error's message: it has attributes only from Python 3.14 on."""
    found = _PLACE.search(str(error))
    lines, shown = text.split("\n"), veiled.split("\n")
    said = str(error)[: found.start()] if found else str(error)
    if found and found[1]:
        return Stop(said, lines, shown, int(found[1]), int(found[2]), at_end=False)
    last = len(text.rstrip("\n").split("\n"))
    return Stop(said, lines, shown, last, len(lines[last - 1]) + 1, at_end=True)


def _without_tuple(said: str) -> str:
    """Rewrites the tuple in `cannot declare ('server', 'x') twice` as the file would write it."""
    found = re.search(r"\((?:'[\w-]+',? ?)+\)", said)
    return said if found is None else said.replace(found[0], f"[{'.'.join(re.findall('[a-zA-Z0-9_-]+', found[0]))}]")


# Another language.


def _another_language(text: str) -> str:
    start = text.lstrip()
    if start.startswith("{"):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return ""
        return "a LiteLLM config in JSON" if '"model_list"' in text else "JSON"
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    yaml = sum(bool(re.match(r"\s*(- )?[\w.-]+:(\s|$)|\s*- \S|---", line)) for line in lines)
    if not lines or yaml * 2 <= len(lines) or any(_PAIR.match(line) for line in lines[:3]):
        return ""
    return "a LiteLLM config (YAML)" if re.search(r"^model_list:", text, re.MULTILINE) else "YAML"


def _advice_on(language: str) -> str:
    if "LiteLLM" in language:
        return "`oxllm adapt FILE` writes the config that it means"
    if language == "JSON":
        return 'write name = "value", and [[providers]] for each provider; `oxllm init -` shows one'
    return "write name = value instead of name: value, and [[providers]] for each provider; `oxllm init -` shows one"


# Guesses at what was meant, from the text where the parser stopped. The first that fits counts.


def _comment(stop: Stop) -> str:
    return "a comment begins with #" if not stop.before.strip() and stop.after.startswith(("//", ";", "--")) else ""


def _conflict(stop: Stop) -> str:
    if not re.match(r"(<<<<<<<|=======|>>>>>>>)(\s|$)", stop.text):
        return ""
    return "a merge conflict is left here: keep one of its sides, and remove the lines of <, = and >"


def _odd_character(stop: Stop) -> str:
    """A character that looks like another, or is invisible. (Quotes have their own advice.)"""
    for char in (stop.after[:1], stop.before[-1:]):
        if char > "~" and not char.isalnum():
            if char.isprintable():
                return f"{char} (U+{ord(char):04X}) only looks like the character that is meant: write the plain one"
            return f"an invisible character (U+{ord(char):04X}) stands there: remove it"
    return ""


def _leading_zero(stop: Stop) -> str:
    found = re.search(rf"({_KEY})\s*=\s*([+-]?0)$", stop.before)
    digits = re.match(r"\d+(?=\s|$|#|,|\]|\})", stop.after)
    if not found or not digits:
        return ""
    value = stop.shown(stop.column - 1, stop.column - 1 + digits.end())
    return f"a number has no leading zero: write {found[1]} = {value.lstrip('0') or '0'}"


def _variable(stop: Stop) -> str:
    found = re.match(r"\$\{[^}\s]*\}|\$\w+", stop.after)
    if found is None:
        return ""
    name = stop.shown(stop.column - 1, stop.column - 1 + found.end()).strip("${}")
    return f'a variable stands inside a string: write "${{{"NAME" if VEIL in name else name}}}"'


def _smart_quotes(stop: Stop) -> str:
    if not re.search("[\u201c\u201d\u2018\u2019\u00ab\u00bb\u201e]", stop.text):
        return ""
    return 'these are typographic quotes: write plain ones, "…"'


def _twice(stop: Stop) -> str:
    if not stop.said.startswith(("Cannot overwrite", "Cannot declare")):
        return ""
    return "a key or table may be written only once; tables of a list have two brackets: [[providers]]"


def _backslash(stop: Stop) -> str:
    if "\\" not in stop.before[-2:] + stop.after[:1] and "hex" not in stop.said and "escape" not in stop.said.lower():
        return ""
    return r"a \ begins an escape there: write \\, or put the text in single quotes"


def _open_string(stop: Stop) -> str:
    quotes = re.sub(r'\\.|""', "", stop.text).count('"')
    if stop.text.count("'") % 2 and not quotes:
        return "the text is not closed: write ' at its end"
    if stop.said.startswith("Expected newline") and quotes % 2:
        return 'a " inside text is written \\"'
    if quotes % 2:
        return 'the text is not closed: write " at its end'
    return ""


def _unit(stop: Stop) -> str:
    found = re.search(rf"({_KEY})\s*=\s*(\d+(?:\.\d+)?)$", stop.before)
    unit = re.match(r"(ms|s|sec|secs|seconds|m|min|h|MB|MiB|kB|KiB|GB)\b", stop.after)
    if not found or not unit or VEIL in stop.shown(*found.span()):
        return ""
    number = float(found[2]) * _UNITS[unit[1]]
    return f"a number has no unit (times are in seconds, sizes in bytes): write {found[1]} = {number:.12g}"


_UNITS = {"ms": 0.001, "s": 1, "sec": 1, "secs": 1, "seconds": 1, "m": 60, "min": 60, "h": 3600} | {
    "kB": 1000, "KiB": 1024, "MB": 10**6, "MiB": 1 << 20, "GB": 10**9,
}  # fmt: skip


def _odd_name(stop: Stop) -> str:
    if "after a key" not in stop.said and not stop.said.startswith("Expected ']'"):
        return ""
    if re.match(r"\s*:\s", stop.after + " ") and not re.search("[=/]", stop.after):
        return f"write = instead of the colon: {stop.shown(0, stop.column - 1).strip()} = …"
    if re.match(rf"\s*\[+\s*{_KEY}[\w.\s-]*$", stop.text):
        return f"write {stop.shown(0).strip()}{']' * stop.text.count('[')}"
    found = re.match(r"\s*(\[*)([^=\]]*?)\s*(\]+|=|$)", stop.text)
    if not found or not found[3] or not found[2]:
        known = stop.shown(0, stop.column - 1).split()
        return f"write {known[0]} = …" if known and "=" not in stop.text else ""
    written = stop.shown(*found.span(2))
    if found[1]:
        head, dot, name = written.rpartition(".")
        return f'a name with other characters than letters, digits, - and _ is quoted: {found[1]}{head}{dot}"{name}"…'
    return f'a name with other characters than letters, digits, - and _ is quoted: "{written}" = …'


def _comma(stop: Stop) -> str:
    if stop.at_end or not stop.said.startswith("Unclosed") or not stop.after.strip():
        return ""
    following = stop.shown(stop.column - 1).split()
    known = following and VEIL not in following[0]
    return f"a comma is missing {'before ' + following[0][:24].rstrip(',') if known else 'there'}"


def _open_bracket(stop: Stop) -> str:
    opened = _opened(stop)
    if opened is None or not (stop.at_end or _PAIR.match(stop.text) or stop.text.startswith("[")):
        return ""
    bracket, line = opened
    return f"the {bracket} of line {line} is not closed"


def _opened(stop: Stop) -> tuple[str, int] | None:
    """The innermost bracket that is still open before the line where the parser stopped, and its line."""
    depth: list[tuple[str, int]] = []
    for number, line in enumerate(stop.lines[: stop.line if stop.at_end else stop.line - 1], start=1):
        for char in re.sub(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|#.*", "", line):
            if char in "[{":
                depth.append((char, number))
            elif char in "]}" and depth:
                depth.pop()
    return depth[-1] if depth else None


def _inline_table(stop: Stop) -> str:
    if "key part" not in stop.said:
        return ""
    if stop.after.startswith("}"):
        return "no comma before the }"
    return "" if stop.after.strip() else "a table in { } stays on one line"


def _word(stop: Stop) -> str:
    if not stop.said.startswith(("Invalid value", "Invalid initial")):
        return ""
    word = re.match(r"[^\s,\]}#]+", stop.after)
    if word is None or stop.after[0] in "\"'=":
        return ""
    plain = word[0].lower()
    if plain in ("true", "false", "yes", "no", "on", "off"):
        return f"write {'true' if plain in ('true', 'yes', 'on') else 'false'}"
    if plain in ("null", "none", "nil", "~"):
        return "TOML has no such value: leave the key out"
    if re.fullmatch(r"\.\d+|\d[\d.]*", plain):
        return f"write the number as 0{plain}" if plain.startswith(".") else ""
    key = re.search(rf"({_KEY})\s*=\s*$", stop.shown(0, stop.column - 1))
    shown = stop.shown(stop.column - 1, stop.column - 1 + word.end())
    return f'text goes in quotes: {key[1] + " = " if key else ""}"{"…" if VEIL in shown else shown[:40]}"'


def _rest(stop: Stop) -> str:
    if not stop.said.startswith("Expected newline"):
        return ""
    rest = stop.after.strip()
    if rest.startswith((",", ";")):
        return f"no {rest[0]} at the end of a line"
    return "one key a line" if _PAIR.match(rest) else "one value a key; a list is written [ … ]"


def _equals(stop: Stop) -> str:
    return "one = is enough" if stop.said.startswith("Invalid value") and stop.after.startswith("=") else ""


_GUESSES: tuple[Callable[[Stop], str], ...] = (
    *(_comment, _conflict, _twice, _variable, _smart_quotes, _odd_character, _backslash, _equals, _unit),
    *(_leading_zero, _comma, _inline_table, _open_bracket, _odd_name, _word, _open_string, _rest),
)
