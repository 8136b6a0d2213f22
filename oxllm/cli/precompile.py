"""Compiles the byte code of what the gateway imports, before it starts.

A process that compiles modules itself keeps the 6 MB that this took. Containers often ship without .pyc files, or
forbid writing them on import (PYTHONDONTWRITEBYTECODE). Files that cannot be written are skipped.
"""

from __future__ import annotations

import compileall
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("oxllm", "msgspec", "httptools", "httptools.parser")
OWN = ("core", "gateway")
"""The packages inside oxllm that the gateway loads."""
STDLIB_PACKAGES = """
asyncio collections concurrent concurrent/futures ctypes importlib logging pathlib re string sysconfig urllib
"""
STDLIB_MODULES = """
__future__ _colorize _compression _missing_stdlib_info _opcode_metadata _py_warnings _weakrefset annotationlib
ast base64 bisect bz2 contextlib contextvars copy copyreg dataclasses datetime decimal dis encodings/__init__
encodings/aliases encodings/ascii encodings/idna encodings/latin_1 encodings/utf_8 encodings/utf_8_sig enum
fnmatch functools glob hashlib heapq hmac inspect ipaddress keyword linecache locale lzma numbers opcode
operator pathlib platform random reprlib selectors shutil signal socket ssl string stringprep struct subprocess
tempfile textwrap threading token tokenize traceback types typing uuid warnings weakref
"""
"""What asyncio and ssl import on CPython 3.11 to 3.15, except what is frozen into the interpreter."""


def precompile() -> None:
    """Write missing and outdated .pyc files, where permitted. Takes some milliseconds if there are none."""
    for source in sources():
        if _is_writable(source.parent):
            compileall.compile_file(source, quiet=2)


def sources() -> Iterator[Path]:
    """The source files of everything that the gateway loads."""
    for name in PACKAGES:
        spec = find_spec(name)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            yield from sorted(Path(place).glob("*.py"))
            if name == "oxllm":
                yield from (file for part in OWN for file in sorted(Path(place, part).rglob("*.py")))
    library = Path(os.__file__).parent
    for package in STDLIB_PACKAGES.split():
        yield from sorted((library / package).glob("*.py"))
    yield from (file for name in STDLIB_MODULES.split() if (file := library / f"{name}.py").is_file())


def _is_writable(directory: Path) -> bool:
    cache = directory / "__pycache__"
    return os.access(cache if cache.is_dir() else directory, os.W_OK)
