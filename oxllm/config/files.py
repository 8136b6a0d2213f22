"""Reading the small files of a configuration: regular ones only, since a pipe or a device may never end."""

from __future__ import annotations

import os
import stat

from oxllm.config.problem import BadValueError

FILE_MAX = 16 * 1024 * 1024
"""Bytes; no configuration and no key comes near it."""
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
    if len(data) > FILE_MAX:
        raise BadValueError(f"is over {FILE_MAX >> 20} MB")
    return data, mode


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
