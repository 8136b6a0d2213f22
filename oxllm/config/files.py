"""Reading small files that somebody wrote, and the TOML in them.

Those of a configuration are regular ones only: they are read again at each reload, which a pipe does not let one do,
and a device may never end.
"""

from __future__ import annotations

import os
import stat
import tomllib
from typing import Any

from oxllm.config.problem import BadValueError

FILE_MAX = 16 * 1024 * 1024
"""Bytes; no configuration and no key comes near it."""
DEPTH_MAX, VALUES_MAX = 100, 1_000_000
"""Tables in tables, and values in all of them: whoever walks through a document calls itself as often, and Python lets
nobody do so 1,000 times."""
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_file(path: str) -> tuple[bytes, int]:
    """What a file holds, and its mode. Raises BadValueError at once if it is none, or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            mode = os.fstat(fd).st_mode
            _refuse_others(mode)
            with open(fd, "rb", closefd=False) as file:
                data = file.read(FILE_MAX + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None
    _refuse_large(data)
    return data, mode


def read_once(path: str) -> bytes:
    """What a file holds that nobody reads again: a pipe will do. Raises BadValueError."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None
    _refuse_large(data)
    return data


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises TOMLDecodeError, and BadValueError for what is TOML and yet nothing to go on with."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise BadValueError(_TOO_DEEP) from None
    except ValueError:  # an integer of more digits than Python converts
        raise BadValueError("holds a number too long to be read", "write shorter numbers") from None
    check_nesting(document)
    return document


_TOO_DEEP = "is nested too deeply to be read"


def check_nesting(document: object) -> None:
    """Raises BadValueError for a document that nobody gets through: a dotted key of TOML makes a table of each of its
    parts, and an alias of YAML may stand in itself, or for many that each stand for many."""
    level: list[Any] = [document]
    seen = 0
    for _ in range(DEPTH_MAX):
        inside = [list(value.values()) if isinstance(value, dict) else value for value in level]
        seen += sum(map(len, inside))
        if seen > VALUES_MAX:
            raise BadValueError(f"holds more than {VALUES_MAX} values")
        level = [item for items in inside for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise BadValueError(_TOO_DEEP)


def _refuse_large(data: bytes) -> None:
    if len(data) > FILE_MAX:
        raise BadValueError(f"is over {FILE_MAX >> 20} MB")


def check_file(path: str) -> None:
    """What `read_file` raises, without reading."""
    try:
        _refuse_others(os.stat(path).st_mode)
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None


def _refuse_others(mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise BadValueError(f"is {name}, not a file; it is read again at each reload")


def reason(error: OSError) -> str:
    """Why, in the system's words."""
    return (error.strerror or "unknown error").lower()
