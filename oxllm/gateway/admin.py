"""The operator's routes: /health, /status, and what acts on the gateway. `access` has decided that the caller may."""

from __future__ import annotations

import msgspec

from oxllm.core.errors import ApiError, api_error
from oxllm.gateway import status
from oxllm.gateway.request import Request
from oxllm.gateway.runtime import Runtime

READ = (b"GET", b"HEAD")
WRITE = (b"POST",)
WARN_EVERY_S = 60.0
"""One warning a peer and minute: a scanner must not fill the log."""
WARNED_MAX = 256
"""Peers remembered for that."""

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]

_json = msgspec.json.Encoder(enc_hook=str)


class Admin:
    """Serves the operator routes of one process."""

    __slots__ = ("_runtime", "_warned", "draining")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._warned: dict[str, float] = {}
        self.draining = False

    def knows(self, path: bytes) -> bool:
        """Is `path` one of these routes?"""
        return path in _ROUTES

    def methods(self, path: bytes) -> tuple[bytes, ...]:
        """What `path` can be asked with."""
        return READ

    def refused(self, request: Request, error: ApiError) -> None:
        """Somebody was turned away: worth a line, but not many."""
        now = self._runtime.loop.time()
        if now - self._warned.get(request.peer, -WARN_EVERY_S) < WARN_EVERY_S:
            return
        if len(self._warned) >= WARNED_MAX:
            self._warned.clear()
        self._warned[request.peer] = now
        self._runtime.log.event(
            "warning", f"refused {request.path.decode('latin-1')} to {request.peer}: {error.message}"
        )

    def serve(self, request: Request) -> None:
        """Answer. The path is one that `knows` said yes to."""
        _ROUTES[request.path](self, request)

    def _health(self, request: Request) -> None:
        if self.draining:
            request.respond(503, TEXT, b"draining\n")
        else:
            request.respond(200, TEXT, b"ok\n")

    def _status(self, request: Request) -> None:
        snapshot = status.snapshot(self._runtime, self.draining)
        if b"format=json" in request.query.split(b"&") or b"application/json" in (request.get(b"accept") or b""):
            request.respond(200, JSON, _json.encode(snapshot))
        else:
            request.respond(200, TEXT, status.table(snapshot).encode())


_ROUTES = {b"/health": Admin._health, b"/status": Admin._status}


def not_found(what: str) -> ApiError:
    """The thing that a path names is not there."""
    return api_error(404, what, "not_found")
