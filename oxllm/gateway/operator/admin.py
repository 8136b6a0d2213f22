"""The operator's routes, which show the gateway or act on it. `access` has already let the caller in."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.paths import parameter, unescape, wants_json
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe import metrics
from oxllm.gateway.observe.record import Record
from oxllm.gateway.observe.records import RING
from oxllm.gateway.observe.seldom import Seldom
from oxllm.gateway.observe.vitals import Vitals
from oxllm.gateway.operator import explain, status
from oxllm.gateway.operator.in_pieces import send
from oxllm.gateway.operator.overrides import FOR_MAX, Overrides
from oxllm.gateway.reload import Reloader, Result
from oxllm.table import table

READ = (b"GET", b"HEAD")
WRITE = (b"POST",)
PEERS_MAX = 256
"""Refused peers that are remembered, so that a scanner does not fill the log."""

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]

DIGITS_MAX = 9
"""Digits that are read of a number in a query: enough for anything there can be."""

RELOAD = b"/reload"
EXPLAIN = b"/explain/"
PROVIDERS = b"/admin/providers/"

_json = msgspec.json.Encoder(enc_hook=str)


class Admin:
    """Serves the operator routes of one process."""

    __slots__ = ("_log", "_overrides", "_refusals", "_vitals", "reloader")

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals
        self._log = vitals.journal.log
        self._overrides = Overrides(vitals.loop, vitals.current, self._log)
        self._refusals: dict[str, Seldom] = {}
        """Refused peer -> when to log it again."""
        self.reloader: Reloader | None = None
        """Set once the process can reload."""

    def knows(self, path: bytes) -> bool:
        """Whether `path` is one of these routes."""
        return path in ROUTES or path.startswith(PREFIXES)

    def methods(self, path: bytes) -> tuple[bytes, ...]:
        """The methods of `path`."""
        return WRITE if path == RELOAD or path.startswith(PROVIDERS) else READ

    def refused(self, request: Request, error: ApiError) -> None:
        """A caller was refused: log it, but at most once a minute per peer."""
        if request.peer not in self._refusals and len(self._refusals) >= PEERS_MAX:
            self._refusals.clear()
        if self._refusals.setdefault(request.peer, Seldom()).due(self._vitals.loop.time()):
            self._log.event("warning", f"refused {request.path.decode('latin-1')} to {request.peer}: {error.message}")

    def serve(self, request: Request) -> None:
        """Answer a request whose path `knows`."""
        path = request.path
        if path.startswith(EXPLAIN):
            self._explain(request, unescape(path[len(EXPLAIN) :]))
        elif path.startswith(PROVIDERS):
            name, _, verb = path[len(PROVIDERS) :].rpartition(b"/")
            self._override(request, unescape(name), verb.decode("latin-1"))
        else:
            ROUTES[path](self, request)

    def hang_up(self) -> None:
        """SIGHUP."""
        if self._vitals.life.stopping:
            self._log.event("reload", "not read again, since the gateway is stopping")
        elif self.reloader is not None:
            self.reloader.signal()

    def _health(self, request: Request) -> None:
        if self._vitals.life.stopping:
            request.respond(503, TEXT, b"draining\n")
        else:
            request.respond(200, TEXT, b"ok\n")

    def _status(self, request: Request) -> None:
        snapshot = status.snapshot(self._vitals, self._overrides.left)
        if wants_json(request):
            request.respond(200, JSON, _json.encode(snapshot))
        else:
            request.respond(200, TEXT, table(snapshot).encode())

    def _metrics(self, request: Request) -> None:
        fields = [(b"content-type", metrics.CONTENT_TYPE)]
        send(self._vitals.loop, request, fields, metrics.render(self._vitals))

    def _reload(self, request: Request) -> None:
        if self.reloader is None or self._vitals.life.stopping:
            _refuse(request, api_error(503, "the gateway is starting or stopping", "overloaded"))
            return

        def done(result: Result) -> None:
            if result.ok:
                request.respond(200, JSON, _json.encode(result))
                return
            why = f"refused, the running config stays: {result.errors[0].text}"
            error = {"message": why, "type": "invalid_request_error", "param": None, "code": "config_refused"}
            request.respond(400, JSON, _json.encode({"ok": False, "errors": result.errors, "error": error}))

        self.reloader.start(parameter(request, b"dry_run") == "1", done)

    def _explain(self, request: Request, wanted: str) -> None:
        records = self._vitals.journal.records
        record = next((record for record in reversed(records) if record.id == wanted), None)
        if record is not None and wants_json(request):
            request.respond(200, JSON, _json.encode(record))
        elif record is not None:
            request.respond(200, TEXT, explain.text(record).encode())
        elif any(relay.id == wanted for relay in self._vitals.relays):
            _not_found(request, f"request {wanted[:200]!r} is still under way")
        else:
            known = f"among the last {records.maxlen}; `oxllm requests` lists them"
            _not_found(request, f"no request {wanted[:200]!r} {known}")

    def _requests(self, request: Request) -> None:
        """The last requests, oldest first. Query: `failed=1`, `model=M`, `limit=N`, `after=ID`; with `at=TIME` if
        clients reuse ids."""
        chosen: list[Record] = []
        given = (parameter(request, b"limit") or "")[:DIGITS_MAX]
        limit = int(given) if given.isascii() and given.isdigit() else RING
        failed, model, after, at = (parameter(request, name) for name in (b"failed", b"model", b"after", b"at"))
        for record in reversed(self._vitals.journal.records):
            if len(chosen) >= limit or (record.id == after and at in (None, "", repr(record.time))):
                break
            if (model and record.model != model) or (failed is not None and record.error is None):
                continue
            chosen.append(record)
        request.respond(200, JSON, _json.encode({"requests": chosen[::-1]}))

    def _override(self, request: Request, name: str, verb: str) -> None:
        act = _OVERRIDES.get(verb)
        if act is None:
            _not_found(request, f"a provider can be set offline, online or reset, not {verb[:200]!r}")
            return
        try:
            seconds = _seconds(request)
        except ValueError:
            _refuse(request, api_error(400, f"`for` takes seconds, over 0 and at most {FOR_MAX:.0f}", param="for"))
            return
        router = self._vitals.current.generation.router
        if act(self._overrides, name, seconds):
            state = router.providers[name].breaker.state(self._vitals.loop.time())
            answer: dict[str, object] = {"name": name, "state": state.value}
            if verb == "offline" and (unserved := self._overrides.unserved(name)):
                answer["warnings"] = unserved
            request.respond(200, JSON, _json.encode(answer))
        else:
            close = router.similar_providers(name)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "`oxllm provider list` names them"
            _not_found(request, f"there is no provider {name[:200]!r}; {hint}")


_OVERRIDES: dict[str, Callable[[Overrides, str, float | None], bool]] = {
    "offline": Overrides.offline,
    "online": lambda overrides, name, _: overrides.online(name),
    "reset": lambda overrides, name, _: overrides.reset(name),
}


def _seconds(request: Request) -> float | None:
    """`for=SECONDS` of the query. Raises ValueError."""
    given = parameter(request, b"for")
    if given is None:
        return None
    seconds = float(given)
    if not 0 < seconds <= FOR_MAX:
        raise ValueError
    return seconds


ROUTES = {
    b"/health": Admin._health,
    b"/status": Admin._status,
    b"/metrics": Admin._metrics,
    b"/requests": Admin._requests,
    RELOAD: Admin._reload,
}
PREFIXES = (EXPLAIN, PROVIDERS)


def _not_found(request: Request, what: str) -> None:
    _refuse(request, api_error(404, what, "not_found"))


def _refuse(request: Request, error: ApiError) -> None:
    request.respond(error.status, error.headers(), error.body())
