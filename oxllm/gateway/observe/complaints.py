"""Puts into our log what would else go to stderr, which may block: the event loop's errors, and what libraries log."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

from oxllm.gateway.later import once_loaded
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.seldom import Seldom
from oxllm.gateway.shortage import LIMITS, SHORTAGES


class Complaints:
    """The loop's exception handler: one line a minute for a shortage of the machine, one for each bug of ours."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._shortages = Seldom()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in SHORTAGES:
            if self._shortages.due(loop.time()):  # accepting is retried every second
                advice = f"; raise the limit ({LIMITS[error.errno]})" if error.errno in LIMITS else ""
                self._journal.log.event("warning", f"{SHORTAGES[error.errno]}, new clients wait{advice}")
        elif error is not None:
            self._journal.internal_error(str(context.get("message", "a callback")), error)
        else:
            self._journal.log.event("warning", str(context.get("message", "the event loop complains")))

    def listen(self) -> None:
        """Also log what is raised where nobody can catch it, and what libraries log."""
        sys.unraisablehook = self._unraisable
        once_loaded("logging", lambda: hear_libraries(self._journal.log))

    def _unraisable(self, unraisable: Any) -> None:
        if unraisable.exc_value is not None:
            self._journal.internal_error("a finalizer", unraisable.exc_value)


def hear_libraries(log: Log) -> None:
    """asyncio reports a few things through `logging`, which would write them to stderr."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            log.event("warning", record.getMessage())

    logging.getLogger().addHandler(Handler(logging.WARNING))
