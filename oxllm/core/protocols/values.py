"""Values of JSON, read without decoding more than is asked for: what is absent, names, ids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import msgspec

from oxllm.core.halves import without_halves
from oxllm.core.wire.body import text_in

Count = Annotated[int, msgspec.Meta(ge=0)]
NOTHING: Final = msgspec.Raw(b"")
EMPTY: Final[tuple[msgspec.Raw, ...]] = (NOTHING, *map(msgspec.Raw, (b"null", b'""', b"[]", b"{}", b"false")))
"""Values that count as absent, for content and for errors. Raw, so that no text is decoded."""
_EMPTY_MAX: Final = 5
"""Bytes of the longest of these."""
NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
BOM: Final = b"\xef\xbb\xbf"
"""Parsers may skip it before JSON, and the SDKs' do (RFC 8259, 8.1)."""
decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
NAME_MAX: Final = 256
"""Characters of a model's name, which is ignored if it is longer, and of a stop reason, which is cut or ignored."""
ID_MAX: Final = 512
"""Characters of an answer's id; a longer one is ignored. (A gateway upstream of us may seal its origin into it.)"""


_Read = TypeVar("_Read")


def read_json(decode: Callable[[bytes], _Read], data: bytes) -> _Read:
    """Decode UTF-8 and, of what msgspec refuses, what the clients' parsers accept: lone surrogates, a BOM. Raises one
    of NOT_JSON."""
    try:
        if not data.isascii():  # msgspec skips strings without decoding them
            data.decode()
        return decode(data)
    except NOT_JSON:
        mended = without_halves(data.removeprefix(BOM))
        mended.decode()
        return decode(mended)


def is_empty(raw: msgspec.Raw) -> bool:
    """Whether it is one of EMPTY. Faster than `in EMPTY` for values that mostly are not: saves six comparisons."""
    return len(raw) <= _EMPTY_MAX and raw in EMPTY


def name_in(raw: msgspec.Raw) -> str | None:
    """The name in a JSON string; None if it is not a string, or too long or unprintable for a name."""
    name = None if is_empty(raw) else text_in(raw, NAME_MAX)
    return name if name is not None and name.isprintable() else None


def id_in(raw: msgspec.Raw | None) -> str | None:
    """The id in a JSON string; None if it is not a string, empty, or too long for an id."""
    return (text_in(raw, ID_MAX) if raw is not None else None) or None
