"""Modules that asyncio and msgspec import at once, and that serving seldom or never uses: loaded when they are used.

A parser of Python, its disassembler, decimals, processes, logging, OpenSSL: together they would cost a serving process
4 MB, a fifth of what it may have. In their place stand modules that know those few names that are asked for while
others are being imported, and that become the real ones as soon as they are asked for any other. So nobody notices, but
for the time: some milliseconds at the first reload, look-up of a name, connection over TLS or bug of ours.

It has to happen before anything else is imported (`gateway/__main__.py`).
"""

from __future__ import annotations

import functools
import sys
import typing
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec
from types import FrameType, FunctionType, MethodType, ModuleType
from typing import Any

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
    _loading.add(name)
    try:
        __import__(name)
    except BaseException:
        sys.modules[name] = waiting
        raise
    finally:
        _loading.discard(name)
    module = sys.modules[name]
    vars(waiting).update(vars(module))
    for action in _after.pop(name, ()):
        action()
    return module


_loading: set[str] = set()
"""Modules that are being loaded, which nothing may stand for any more."""
_after: dict[str, list[Callable[[], None]]] = {}
"""What to do once a module is loaded."""


def once_loaded(name: str, action: Callable[[], None]) -> None:
    """Do it as soon as the module of that name is the real one: now, if it is not one that waits."""
    if isinstance(sys.modules.get(name), Later):
        _after.setdefault(name, []).append(action)
    else:
        action()


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


class Logger:
    """The logger of that name. What nobody could hear, since nobody has loaded `logging` yet, does not load it."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def debug(self, *arguments: object, **named: object) -> None:
        """As the real one, whose level is WARNING as long as nobody has asked it for another."""
        if not isinstance(sys.modules["logging"], Later):
            self.__getattr__("debug")(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        try:
            logger = loaded("logging").getLogger(self._name)
        except (ImportError, OSError):  # no file can be opened: better a word less than a fault in whoever has said it
            return lambda *_, **__: None
        return getattr(logger, name)


def _nothing_else(name: str) -> object:
    raise AttributeError(f"module 'asyncio' has no attribute {name!r}")


class OfAsyncio:
    """What `asyncio` would have from those of its modules that wait: it looks here for what it does not have."""

    def __init__(self, asyncio: ModuleType) -> None:
        self._else: Callable[[str], object] = vars(asyncio).get("__getattr__", _nothing_else)
        """From 3.14 on it has some names of its own that it looks for."""

    def __call__(self, name: str) -> object:
        for part in PARTS_OF_ASYNCIO:
            if f"asyncio.{part}" in sys.modules:  # each Python has its own
                module = loaded(f"asyncio.{part}")
                if name in module.__all__:
                    return getattr(module, name)
        return self._else(name)


PARTS_OF_ASYNCIO = ("graph", "locks", "queues", "runners", "streams", "subprocess", "taskgroups")
"""Modules of asyncio all of whose names it takes for its own when it is loaded."""
LATER: dict[str, dict[str, object]] = {
    "concurrent.futures": {name: name for name in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")},
    "inspect": {"iscoroutinefunction": _is_coroutine_function},
    "linecache": {},
    "logging": {"DEBUG": 10, "getLogger": Logger},
    "ssl": {"SSLSocket": ()},  # which asyncio asks of each socket whether it is one
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},
    "traceback": {"extract_stack": _extract_stack},
    "asyncio.sslproto": {},
    "asyncio.staggered": {},
    **{f"asyncio.{part}": {"__all__": ()} for part in PARTS_OF_ASYNCIO},
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


class Finder:
    """Finds, in the place of a module, the one that waits for it."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As `importlib.abc.MetaPathFinder` has it."""
        if name in _loading or not (name in LATER or name in UNKNOWN):
            return None
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Later:
        """As `importlib.abc.Loader` has it."""
        return Later(spec.name, {**LATER, **UNKNOWN}[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """It has all that it needs."""


def _as_written(source: str, _file: str, _mode: str) -> str:
    """In the place of `compile` where `typing` compiles an annotation that it may never need: `eval` takes the text.

    The first `compile` of all makes a class for each node of Python's grammar, which stay: 0.2 MB.
    """
    return source


def postpone() -> None:
    """Load asyncio and msgspec, but not what of theirs can wait and is not loaded yet."""
    vars(typing)["compile"] = _as_written
    strange = UNKNOWN.keys() - sys.modules.keys()
    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        asyncio = __import__("asyncio")
        vars(asyncio)["__getattr__"] = OfAsyncio(asyncio)
        __import__("msgspec")
    finally:
        sys.meta_path.remove(finder)
    for name in strange:
        sys.modules.pop(name, None)
