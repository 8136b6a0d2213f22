"""What only the C library can do: give memory back, and say how much is in use.

Calls it through `_ctypes`, the half of ctypes that is written in C. The Python half defines nothing that is needed
here, and would cost a serving process 0.2 MB.
"""

from __future__ import annotations

import os
from _ctypes import FUNCFLAG_CDECL, CFuncPtr, Structure, _SimpleCData, dlopen, dlsym

MADV_DONTNEED = 4
_FIELDS = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Int(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "i"


class _Size(_SimpleCData):  # type: ignore[type-arg]
    """`size_t`, and a pointer, which is as wide."""

    _type_ = "L"


class _Mallinfo(Structure):
    """`struct mallinfo2` (mallinfo(3))."""

    _fields_ = tuple((name, _Size) for name in _FIELDS.split())


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL
    _restype_ = _Int


class _Asked(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL
    _restype_ = _Mallinfo


def _library() -> int:
    return dlopen(None, os.RTLD_NOW)  # type: ignore[arg-type]  # None: the process itself


class Libc:
    """This process's glibc. Raises OSError on another libc; those give memory back by themselves."""

    __slots__ = ("_madvise", "_trim")

    def __init__(self) -> None:
        library = _library()
        self._trim, self._madvise = _Function(dlsym(library, "malloc_trim")), _Function(dlsym(library, "madvise"))
        self._trim.argtypes = (_Size,)
        self._madvise.argtypes = (_Size, _Size, _Int)

    def trim(self) -> None:
        """Give back what was freed (malloc_trim(3))."""
        self._trim(0)

    def forget(self, start: int, length: int) -> None:
        """Drop the pages of a file mapping; the next access reads them from the file (madvise(2)). Changes are lost."""
        self._madvise(start, length, MADV_DONTNEED)


def heap_bytes() -> int:
    """Bytes allocated by malloc and not freed; 0 where libc does not say (before glibc 2.33, and elsewhere)."""
    try:
        told = _Asked(dlsym(_library(), "mallinfo2"))()
    except OSError:
        return 0
    return int(told.uordblks + told.hblkhd)  # from the heap, and by mmap
