"""Lazy imports of modules that asyncio and msgspec import at once but that serving seldom or never uses.

A parser of Python, its disassembler, decimals, processes, logging, OpenSSL: together they would cost a serving process
4 MB, a fifth of its budget. Placeholders stand in for them. A placeholder knows the few names that other modules ask
for while they are imported, and becomes the real module as soon as it is asked for any other. All that anybody can
notice is a few milliseconds at the first reload, DNS look-up, TLS connection or bug of ours.

This has to happen before anything else is imported (see `gateway/__main__.py`).
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
    """A placeholder: loads the real module when it is asked for a name that it does not know."""

    def __init__(self, name: str, known: Mapping[str, object]) -> None:
        super().__init__(name)
        vars(self).update(known)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # asked for by the import system
            raise AttributeError(name)
        return getattr(loaded(self.__name__), name)


def loaded(name: str) -> ModuleType:
    """The real module of that name. It replaces the placeholder, which gets a copy of its names for earlier importers.

    Raises what importing does: OSError where no file can be opened. The placeholder then stays, to be tried again.
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
"""Modules that are being loaded, and so must be found as the real ones."""
_after: dict[str, list[Callable[[], None]]] = {}
"""What to do once a module is loaded."""


def once_loaded(name: str, action: Callable[[], None]) -> None:
    """Call `action` once the real module of that name is loaded: now, if no placeholder stands in for it."""
    if isinstance(sys.modules.get(name), Later):
        _after.setdefault(name, []).append(action)
    else:
        action()


def _calls(module: str, name: str) -> Callable[..., object]:
    """A stand-in for the function of that name, which loads its module when called."""

    def called(*arguments: object, **named: object) -> object:
        function: Callable[..., object] = getattr(loaded(module), name)
        return function(*arguments, **named)

    return called


def _extract_stack(frame: FrameType | None = None, limit: int | None = None) -> object:
    """`traceback.extract_stack`, which without a frame starts at its caller's."""
    return loaded("traceback").extract_stack(frame or sys._getframe(1), limit)


def _is_coroutine_function(function: object) -> bool:
    """`inspect.iscoroutinefunction`: asyncio asks it of each signal handler."""
    while isinstance(function, MethodType | functools.partial):
        function = function.__func__ if isinstance(function, MethodType) else function.func
    return isinstance(function, FunctionType) and bool(function.__code__.co_flags & COROUTINE_FLAG)


class Logger:
    """The logger of that name. `debug` does not load `logging`: until someone else has, nobody could hear it."""

    def __init__(self, name: str | None = None) -> None:
        self._name = name

    def debug(self, *arguments: object, **named: object) -> None:
        """As the real one, whose level is WARNING until somebody sets another."""
        if not isinstance(sys.modules["logging"], Later):
            self.__getattr__("debug")(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        try:
            logger = loaded("logging").getLogger(self._name)
        except (ImportError, OSError):  # no file can be opened: better to lose a line than to fail whoever logs it
            return lambda *_, **__: None
        return getattr(logger, name)


def _nothing_else(name: str) -> object:
    raise AttributeError(f"module 'asyncio' has no attribute {name!r}")


class OfAsyncio:
    """`asyncio.__getattr__`: finds the names that asyncio would have from those of its modules that are not loaded."""

    def __init__(self, asyncio: ModuleType) -> None:
        self._else: Callable[[str], object] = vars(asyncio).get("__getattr__", _nothing_else)
        """From 3.14 on, asyncio has a `__getattr__` of its own."""

    def __call__(self, name: str) -> object:
        for part in PARTS_OF_ASYNCIO:
            if f"asyncio.{part}" in sys.modules:  # not every Python has each of them
                module = loaded(f"asyncio.{part}")
                if name in module.__all__:
                    return getattr(module, name)
        return self._else(name)


PARTS_OF_ASYNCIO = ("graph", "locks", "queues", "runners", "streams", "subprocess", "taskgroups")
"""Submodules whose names asyncio re-exports."""
LATER: dict[str, dict[str, object]] = {
    # asyncio.tasks re-exports these,
    "concurrent.futures": {name: name for name in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED")},
    # makes its logger, and a level of its own,
    "logging": {"DEBUG": 10, "getLogger": Logger},
    # re-exports these in asyncio.subprocess,
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},
    # asks of each handler of a signal whether it is a coroutine,
    "inspect": {"iscoroutinefunction": _is_coroutine_function},
    # of each socket whether it is one of TLS,
    "ssl": {"SSLSocket": ()},
    # and in its C part keeps what notes, in debug mode, where a future was made.
    "traceback": {"extract_stack": _extract_stack},
    # It imports, but asks nothing of:
    "linecache": {},
    "asyncio.sslproto": {},
    "asyncio.staggered": {},
    **{f"asyncio.{part}": {"__all__": ()} for part in PARTS_OF_ASYNCIO},
    # msgspec re-exports these.
    "msgspec.inspect": {},
    "msgspec._json_schema": {name: _calls("msgspec._json_schema", name) for name in ("schema", "schema_components")},
}
"""Module -> the names that its placeholder knows, because somebody asks for them without anybody using the module."""


class NoDecimal:
    """Stands in for `decimal.Decimal`, which msgspec looks up as one of its types: no value is an instance."""


class NoUUID:
    """The same for `uuid.UUID` and `uuid.SafeUUID`."""

    unknown = None


UNKNOWN: dict[str, dict[str, object]] = {
    "decimal": {"Decimal": NoDecimal},
    "uuid": {"UUID": NoUUID, "SafeUUID": NoUUID},
}
"""Modules that msgspec alone asks for, and only for these names: msgspec keeps these stand-ins for good."""


class Finder:
    """A meta path finder that finds a placeholder instead of the module."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name in _loading or not (name in LATER or name in UNKNOWN):
            return None
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> Later:
        """See `importlib.abc.Loader`."""
        return Later(spec.name, {**LATER, **UNKNOWN}[spec.name])

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to do: the placeholder is complete."""


def _as_written(source: str, _file: str, _mode: str) -> str:
    """Replaces `compile` in `typing`, which compiles annotations that it may never evaluate: `eval` takes text as well.

    The first call of `compile` makes a class for each node of Python's grammar, and they stay: 0.2 MB.
    """
    return source


def postpone() -> None:
    """Import asyncio and msgspec, with placeholders for what can wait and is not loaded yet."""
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
