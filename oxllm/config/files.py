"""Reads small hand-written files, and the TOML in them.

A configuration must be in regular files: they are read again at each reload, which a pipe does not allow, and a device
may never end.
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
"""The depth of nesting, and the number of values overall. Whatever walks a document recurses once per level, and
Python's limit is 1,000 frames."""
_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_file(path: str) -> tuple[bytes, int]:
    """A file's content and mode. Raises BadValueError, without blocking, if it is not a file or cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            mode = os.fstat(fd).st_mode
            _refuse_others(mode)
            with open(fd, "rb", closefd=False) as file:
                data = file.read(FILE_MAX + 1)
        finally:
            os.close(fd)
    except PermissionError as error:  # a gateway seldom runs as the user who edits its file
        who = f" by user {os.geteuid()}" if os.name == "posix" else ""
        raise BadValueError(f"cannot be read{who}: {reason(error)}") from None
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None
    _refuse_large(data)
    return data, mode


def read_once(path: str) -> bytes:
    """The content of a file that is read only once, so that a pipe will do. Raises BadValueError."""
    try:
        with open(path, "rb") as file:
            data = file.read(FILE_MAX + 1)
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None
    _refuse_large(data)
    return data


def parse_toml(text: str) -> dict[str, Any]:
    """The document. Raises TOMLDecodeError, and BadValueError for valid TOML that is over our limits."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise BadValueError(_TOO_DEEP) from None
    except ValueError:  # an integer with more digits than Python converts
        raise BadValueError("holds a number too long to be read", "write shorter numbers") from None
    check_nesting(document)
    return document


_TOO_DEEP = "is nested too deeply to be read"


def check_nesting(document: object) -> None:
    """Raises BadValueError for a document that is too deep or too large to walk: each part of a dotted TOML key makes a
    table, and a YAML alias may contain itself, or expand exponentially ("billion laughs")."""
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
    """Raise what `read_file` would for a path that is missing or not a file, without reading it."""
    try:
        _refuse_others(os.stat(path).st_mode)
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}") from None


def _refuse_others(mode: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise BadValueError(f"is {name}, not a file; it is read again at each reload")


def reason(error: OSError) -> str:
    """The operating system's message for an error."""
    return (error.strerror or "unknown error").lower()
