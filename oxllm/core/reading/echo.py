"""Does the request say this itself? Then a provider that says it may only repeat it.

Words are looked for as JSON writes them: in any case, with white space, punctuation, escapes or nothing between. A
request of megabytes is looked through in pieces, so that no copy of it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

Buffer = bytes | bytearray | memoryview

PIECE = 64 * 1024
"""Bytes that are looked through at once."""
OVERLAP = 1024
"""Bytes that a run of words may take; a piece begins so far before the end of the last one."""
GAP_MAX = 24
"""Bytes between two words of a run."""
ANY_GAP_MAX = 200
"""Bytes for a name, an address or a quoted text inside a run."""
ANYTHING = frozenset({"~", "gt", "lt"})
"""Words of a run that stand for something else."""

LOOKS_MAX = 10_000
"""Places that are looked at for one run. What begins it so often was written to be found, or to take long."""

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789") | frozenset(range(128, 256))
_ESCAPE = b"\\u00"
_ESCAPED_LETTERS = (b"\\u004", b"\\u005", b"\\u006", b"\\u007")
"""Nobody writes an ASCII letter like that but to hide it."""


def says(data: Buffer, runs: Iterable[Sequence[str]]) -> bool:
    """One of `runs` stands in `data`: each is of words in lower case. They are looked for together, piece by piece: a
    body may be of 8 MiB, and nobody else is served meanwhile."""
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


def _by_first_word(runs: Iterable[Sequence[str]]) -> dict[bytes, list[list[bytes]]]:
    """How runs go on behind their first word, as that may be written. Neither end of a run is one of ANYTHING."""
    found: dict[bytes, list[list[bytes]]] = {}
    for run in runs:
        words = [word.encode() for word in run]
        while words and words[-1].decode() in ANYTHING:
            words.pop()
        while words and words[0].decode() in ANYTHING:
            words.pop(0)
        for first in _spellings(words[0]) if words else ():
            rests = found.setdefault(first, [])
            if words[1:] not in rests:
                rests.append(words[1:])
    return found


def _pieces(data: Buffer) -> Iterator[bytes]:
    view = memoryview(data)
    for start in range(0, max(len(view) - OVERLAP, 1), PIECE):
        yield bytes(view[start : start + PIECE + OVERLAP]).lower()


def _places(piece: bytes, word: bytes) -> list[int]:
    """Behind each `word` in a piece."""
    found = []
    at = piece.find(word)
    while at >= 0:
        found.append(at + len(word))
        at = piece.find(word, at + 1)
    return found


def _spellings(word: bytes) -> tuple[bytes, ...]:
    """As it is, and as escapes where it is not ASCII."""
    if word.isascii():
        return (word,)
    return word, b"".join(b"\\u%04x" % ord(sign) for sign in word.decode())


def _goes_on(piece: bytes, at: int, words: list[bytes]) -> bool:
    for index, word in enumerate(words):
        if word.decode() in ANYTHING:
            rest = words[index + 1]
            found = piece.find(rest, at, at + ANY_GAP_MAX)
            return found >= 0 and _goes_on(piece, found + len(rest), words[index + 2 :])
        at = _next_word(piece, at)
        if piece.startswith(word, at):
            at += len(word)
        elif word == b"not" and piece.startswith((b"n't", b"n\\u2019t", "n\u2019t".encode()), at):
            at = piece.index(b"t", at) + 1
        else:
            return False
    return True


def _next_word(piece: bytes, at: int) -> int:
    """Behind what separates words, escapes included."""
    end = min(at + GAP_MAX, len(piece))
    while at < end:
        if piece[at] == 0x5C:  # backslash
            at += 6 if piece[at + 1 : at + 2] == b"u" else 2
        elif piece[at] in _LETTERS:
            break
        else:
            at += 1
    return at
