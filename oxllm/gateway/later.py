"""Modules that asyncio and msgspec import at once, and that serving seldom or never uses: loaded when they are used.

A parser of Python, its disassembler, decimals, processes: together they cost a serving process 2 MB, a tenth of what
it has. In their place stand modules that know those few names that are asked for while others are being imported, and
that become the real ones as soon as they are asked for any other. So nobody notices, but for the time: some
milliseconds at the first reload, look-up of a name or bug of ours.

It has to happen before anything else is imported (`gateway/__main__.py`).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from types import FrameType, FunctionType, MethodType, ModuleType

COROUTINE_FLAG = 0x80
"""`inspect.CO_COROUTINE`."""


class Later(ModuleType):
    """A module that is loaded when it is asked for a name that it does not know."""

    def __init__(self, name: str, known: Mapping[str, object]) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what importing looks for
            raise AttributeError(name)
        return getattr(loaded(self.__name__), name)


def loaded(name: str) -> ModuleType:
    """The real module of that name. It takes the place of the one that waits for it, whose holders have all of it.

    Raises what importing does: OSError where no file can be opened. Then the next one may try again.
    """
    waiting = sys.modules.get(name)
    if not isinstance(waiting, Later):
        return waiting or __import__(name, fromlist=["*"])
    del sys.modules[name]
    try:
        __import__(name)
    except BaseException:
        sys.modules[name] = waiting
        raise
    module = sys.modules[name]
    vars(waiting).update(vars(module))
    return module


def _calls(module: str, name: str) -> Callable[..., object]:
    """A function that is the one of that name, and loads its module when it is called."""

    def called(*arguments: object, **named: object) -> object:
        function: Callable[..., object] = getattr(loaded(module), name)
        return function(*arguments, **named)

    return called


def _extract_stack(frame: FrameType | None = None, limit: int | None = None) -> object:
    """`traceback.extract_stack`, which without a frame means that of its caller."""
    return loaded("traceback").extract_stack(frame or sys._getframe(1), limit)


def _is_coroutine_function(function: object) -> bool:
    """As `inspect.iscoroutinefunction` has it: each handler of a signal is asked."""
    while isinstance(function, MethodType | functools.partial):
        function = function.__func__ if isinstance(function, MethodType) else function.func
    return isinstance(function, FunctionType) and bool(function.__code__.co_flags & COROUTINE_FLAG)


LATER: dict[str, dict[str, object]] = {
    "concurrent.futures": {name: name for name in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")},
    "inspect": {"iscoroutinefunction": _is_coroutine_function},
    "linecache": {},
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},
    "traceback": {"extract_stack": _extract_stack},
    "asyncio.sslproto": {},
    "msgspec.inspect": {},
    "msgspec._json_schema": {name: _calls("msgspec._json_schema", name) for name in ("schema", "schema_components")},
}
"""Module -> what it knows before it is loaded."""


class NoDecimal:
    """Stands for `decimal.Decimal` where msgspec wants to know its own kinds of values: no value is one."""


class NoUUID:
    """The same for `uuid.UUID`, and for what UUIDs have."""

    unknown = None


UNKNOWN: dict[str, dict[str, object]] = {
    "decimal": {"Decimal": NoDecimal},
    "uuid": {"UUID": NoUUID, "SafeUUID": NoUUID},
}
"""Modules that msgspec alone asks for, and for these names alone: to it they stay what they are here."""


def postpone() -> None:
    """Put them in place of those that are not loaded yet, and load msgspec."""
    for name in LATER.keys() - sys.modules.keys():
        sys.modules[name] = Later(name, LATER[name])
        parent, _, child = name.rpartition(".")
        if parent == "concurrent":
            setattr(__import__(parent), child, sys.modules[name])
    strange = UNKNOWN.keys() - sys.modules.keys()
    sys.modules.update({name: Later(name, UNKNOWN[name]) for name in strange})
    __import__("msgspec")
    for name in strange:
        sys.modules.pop(name)
