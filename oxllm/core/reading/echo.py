"""Whether the request itself contains certain words: then a provider's error with them may only quote it.

Words are searched for as JSON may write them: in any case, separated by white space, punctuation, escapes or nothing. A
request of megabytes is searched in pieces, so that it is never copied as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

Buffer = bytes | bytearray | memoryview
Word = bytes | re.Pattern[bytes]
"""ASCII: the word in lower case. Otherwise a pattern for the ways in which JSON may write it."""

PIECE = 64 * 1024
"""Bytes that are searched at once."""
OVERLAP = 1024
"""Bytes of the longest run of words; each piece overlaps the next by so many."""
GAP_MAX = 24
"""Bytes between two words of a run."""
ANY_GAP_MAX = 200
"""Bytes for a name, an address or a quoted text inside a run."""
ANYTHING = frozenset({"~", "gt", "lt"})
"""Placeholders in a run, which match any text."""
_ANYTHING = frozenset(word.encode() for word in ANYTHING)

LOOKS_MAX = 10_000
"""Occurrences of a first word that are examined. A text with more was written to be found, or to take long."""

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789") | frozenset(range(128, 256))
_ESCAPE = b"\\u00"
_ESCAPED_LETTERS = (b"\\u004", b"\\u005", b"\\u006", b"\\u007")
"""Escaped ASCII letters: nobody writes them except to hide a word."""


def says(data: Buffer, runs: Iterable[Sequence[str]]) -> bool:
    """Whether `data` contains one of `runs`, which are words in lower case. All are searched for in one pass: a body
    may have 8 MiB, and nobody else is served meanwhile."""
    sought = _by_first_word(runs)
    if not sought:
        return False
    looks = dict.fromkeys(sought, 0)
    for piece in _pieces(data):
        if _ESCAPE in piece and any(escape in piece for escape in _ESCAPED_LETTERS):
            return True
        for first, rests in sought.items():
            places = _places(piece, first)
            looks[first] += len(places)
            if looks[first] > LOOKS_MAX:
                return True
            for rest in rests:
                for at in places:
                    if _goes_on(piece, at, rest):
                        return True
    return False


def _by_first_word(runs: Iterable[Sequence[str]]) -> dict[Word, list[list[Word]]]:
    """First word -> the rests of the runs that begin with it. ANYTHING is stripped from both ends of a run."""
    found: dict[Word, list[list[Word]]] = {}
    for run in runs:
        words = list(run)
        while words and words[-1] in ANYTHING:
            words.pop()
        while words and words[0] in ANYTHING:
            words.pop(0)
        if words:
            first, *rest = [_written(word) for word in words]
            rests = found.setdefault(first, [])
            if rest not in rests:
                rests.append(rest)
    return found


def _pieces(data: Buffer) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, max(len(view) - OVERLAP, 1), PIECE):
        yield bytes(view[start : start + PIECE + OVERLAP]).lower()


def _places(piece: bytes, word: Word) -> list[int]:
    """The end of each `word` in a piece."""
    if not isinstance(word, bytes):
        return [match.end() for match in word.finditer(piece)]
    found = []
    at = piece.find(word)
    while at >= 0:
        found.append(at + len(word))
        at = piece.find(word, at + 1)
    return found


@lru_cache(maxsize=64)
def _written(word: str) -> Word:
    """A word as it is searched for. A non-ASCII letter may be written as a capital or as an escape."""
    if word.isascii():
        return word.encode()
    return re.compile(b"".join(b"(?:" + b"|".join(map(re.escape, _forms(letter))) + b")" for letter in word))


def _forms(letter: str) -> list[bytes]:
    """The ways in which a piece may write a letter."""
    either = {letter, letter.upper()}
    raw = [form.encode().lower() for form in either]
    return raw if letter.isascii() else raw + [b"\\u%04x" % ord(form) for form in either if len(form) == 1]


def _behind(piece: bytes, word: Word, at: int, far: int) -> int:
    """The end of the first `word` within `far` bytes; -1 if there is none."""
    if isinstance(word, bytes):
        found = piece.find(word, at, at + far)
        return found + len(word) if found >= 0 else -1
    match = word.search(piece, at, at + far)
    return match.end() if match is not None else -1


def _goes_on(piece: bytes, at: int, words: list[Word]) -> bool:
    for index, word in enumerate(words):
        if word in _ANYTHING:
            behind = _behind(piece, words[index + 1], at, ANY_GAP_MAX)
            return behind >= 0 and _goes_on(piece, behind, words[index + 2 :])
        if not isinstance(word, bytes):
            at = _behind(piece, word, at, ANY_GAP_MAX)
            if at < 0:
                return False
            continue
        at = _next_word(piece, at)
        if piece.startswith(word, at):
            at += len(word)
        elif word == b"not" and piece.startswith((b"n't", b"n\\u2019t", "n\u2019t".encode()), at):
            at = piece.index(b"t", at) + 1
        else:
            return False
    return True


def _next_word(piece: bytes, at: int) -> int:
    """Skips what separates words, escapes included."""
    end = min(at + GAP_MAX, len(piece))
    while at < end:
        if piece[at] == 0x5C:  # backslash
            at += 6 if piece[at + 1 : at + 2] == b"u" else 2
        elif piece[at] in _LETTERS:
            break
        else:
            at += 1
    return at
