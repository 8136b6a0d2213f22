"""The gateway as its HTTP server sees it: routes paths, checks access, and sheds requests over the limit."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from oxllm import __version__
from oxllm.core.protocols.base import Protocol
from oxllm.core.protocols.registry import place_of
from oxllm.core.reading.hints import Headers
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway import cors
from oxllm.gateway.access import Access, foreign_page
from oxllm.gateway.client import shared
from oxllm.gateway.client.paths import parameter, unescape
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.shared import overloaded
from oxllm.gateway.dispatch import TIMEOUT_HEADERS, Dispatcher, no_model, no_path, nobody_speaks
from oxllm.gateway.models import Catalogue, Json
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.operator.admin import READ, Admin
from oxllm.gateway.runtime import Current, Generation
from oxllm.gateway.sessions import HEADERS as SESSION_HEADERS

NEEDED: Final = frozenset(
    (
        *(b"authorization", b"x-api-key", b"host", b"origin", b"traceparent", b"content-encoding"),
        *TIMEOUT_HEADERS,
        *SESSION_HEADERS,
    )
)
NEEDED_PREFIXES: Final = (b"anthropic-", b"openai-")
"""Headers that are still read after a request has been accepted."""
ROOT: Final = b"/"
"""Where agents check whether anything is listening."""
EVERYTHING: Final = b"*"
"""The asterisk-form target, for OPTIONS only (RFC 9110 section 9.3.7)."""
GREETING: Final = b"oxllm %b, a gateway to LLM APIs: GET /v1/models lists what it serves\n" % __version__.encode()

_json: Final = msgspec.json.Encoder()


class Service(shared.Service):
    """A gateway's `client.shared.Service`: what the client side calls."""

    __slots__ = (
        "_admin",
        "_catalogue",
        "_current",
        "_dispatcher",
        "_in_flight",
        "_journal",
        "_loop",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        current: Current,
        dispatcher: Dispatcher,
        journal: Journal,
        admin: Admin,
        created: int,
    ) -> None:
        """`created`: start of the process, seconds since the epoch; /v1/models shows it."""
        self._loop = loop
        self._current = current
        self._in_flight = 0
        """Requests whose head was accepted and that have not ended."""
        self._journal = journal
        self._admin = admin
        self._catalogue = Catalogue(created)
        self._dispatcher = dispatcher

    @property
    def _access(self) -> Access:
        """The rules of the running config."""
        return self._current.generation.access

    # client.shared.Service

    def operator_route(self, request: Request) -> bool:
        """Whether this is one of the routes that are never shed."""
        return self._admin.knows(request.path)

    def head(self, request: Request) -> None:
        """Refuse what can be refused without its body."""
        generation = self._current.generation
        request.place = generation.endpoints.find(request.method, request.path)
        if request.place is not None:
            error = self._access.client(request) or self._too_much()
            if error is None:
                request.config = generation
                request.in_flight = True
                self._in_flight += 1
        elif request.path == ROOT:
            error = _wrong_method(request, READ)
        elif self._admin.knows(request.path):
            error = self._admin_error(request)
        else:
            error = self._client_error(request)
        if error is not None:
            self._refuse(request, error)

    def serve(self, request: Request) -> None:
        """Head and body have arrived."""
        place, generation = request.place, request.config  # which a reload may have replaced since
        request.config = None
        if place is not None:
            assert isinstance(generation, Generation)
            error = self._dispatcher.start(request, generation, place[0], place[1], self._cors_headers(request))
            if error is not None:
                self._refuse(request, error)
        elif self._admin.knows(request.path):
            self._admin.serve(request)
        elif request.path == ROOT:
            request.respond(200, [(b"content-type", b"text/plain; charset=utf-8")], GREETING)
        else:
            self._models(request, _strip_v1(request.path))

    def needs(self, name: bytes) -> bool:
        """Whether a header of that name is still read after a request has been accepted."""
        return name in NEEDED or name.startswith(NEEDED_PREFIXES)

    def ended(self, request: Request) -> None:
        """An accepted request has ended."""
        if request.in_flight:
            self._in_flight -= 1

    def crashed(self, request: Request | None, error: Exception) -> None:
        """A bug of ours showed while `request` was read, served or answered."""
        where = f"request {request.id}" if request is not None else "a connection"
        self._journal.internal_error(where, error)

    def refused(self, request: Request, error: ApiError) -> None:
        """The connection answers `error` itself: what it read was broken, too large or too slow."""
        protocol = self._speaker(request)
        status = error.status if protocol is None else protocol.refusal(error).status
        self._journal.refused(status, error.message, request.id, request.peer)

    # Before the body.

    def _admin_error(self, request: Request) -> ApiError | None:
        error = self._access.operator(request, health=request.path == b"/health")
        if error is not None:
            self._admin.refused(request, error)
            return error
        return _wrong_method(request, self._admin.methods(request.path))

    def _methods(self, path: bytes) -> tuple[bytes, ...]:
        """The methods that a path allows; none if it does not exist."""
        if self._admin.knows(path):
            return self._admin.methods(path)
        if path == ROOT:
            return READ
        if methods := self._current.generation.endpoints.methods(path):
            return methods
        path = _strip_v1(path)
        return READ if path == b"/models" or (path.startswith(b"/models/") and len(path) > len(b"/models/")) else ()

    def _client_error(self, request: Request) -> ApiError | None:
        if request.path == EVERYTHING:
            request.respond(200, [(b"allow", b"GET, HEAD, POST, DELETE, OPTIONS")], b"")
            return None
        methods, wanted = self._methods(request.path), request.get(b"access-control-request-method")
        if request.method == "OPTIONS" and self._access.cors(request) is not None and (methods or wanted):
            # Of any path: a browser hides an answer, even one that says why there is none, behind a failed preflight.
            asked = request.get(b"access-control-request-headers")
            fields = [*self._cors_headers(request), *cors.preflight(methods or (wanted or b"",), asked)]
            request.respond(204, fields, b"")
            return None
        if not methods:
            protocol, plan = place_of(request.path), self._current.generation.plan
            if protocol is None or any(protocol in provider.protocols for provider in plan.providers):
                return no_path(request.path)
            return self._access.client(request) or nobody_speaks(plan, protocol)
        if request.method == "OPTIONS" and wanted is not None:
            return foreign_page()
        return _wrong_method(request, methods) or self._access.client(request)

    def _too_much(self) -> ApiError | None:
        if self._in_flight >= self._access.max_in_flight:
            message = f"{self._in_flight} requests are being served, the most that max_in_flight allows"
            return overloaded(message)
        return None

    def _refuse(self, request: Request, error: ApiError) -> None:
        if not self._admin.knows(request.path):
            self.refused(request, error)
        self.answer(request, error)

    def answer(self, request: Request, error: ApiError) -> None:
        """Answer `error` in the format of the API that was called."""
        protocol = self._speaker(request)
        if protocol is None:
            fields, body = error.headers(), error.body()
        else:
            error = protocol.refusal(error)
            fields, body = protocol.error_headers(error, request.id), protocol.error_body(error, request.id)
        fields += self._cors_headers(request)
        if error.status == 405:
            fields.append((b"allow", b", ".join(self._methods(request.path))))
        request.respond(error.status, fields, body)

    def _speaker(self, request: Request) -> Protocol | None:
        """The API whose error format to use: the one called or, on a path of no API, the one whose version is sent."""
        endpoints = self._current.generation.endpoints
        named = endpoints.speaker(b"/messages") if request.get(b"anthropic-version") is not None else None
        return endpoints.speaker(request.path) or named

    def _cors_headers(self, request: Request) -> Headers:
        origin = self._access.cors(request)
        return () if origin is None or self._admin.knows(request.path) else cors.headers(origin)

    def _models(self, request: Request, path: bytes) -> None:
        """GET /models, or one model; `path` comes without the /v1."""
        router = self._current.generation.router
        answer: Json | ApiError
        if path == b"/models":
            names = router.models(self._loop.time(), parameter(request, b"all") == "1")
            answer = self._catalogue.all(request, names)
        elif router.resolve(name := unescape(path[len(b"/models/") :])) is None:
            answer = no_model(router, name)
        else:
            answer = self._catalogue.one(request, name)
        if isinstance(answer, ApiError):
            self._refuse(request, answer)
        else:
            fields = [(b"content-type", b"application/json"), *self._cors_headers(request)]
            request.respond(200, fields, _json.encode(answer))


def _strip_v1(path: bytes) -> bytes:
    return path[3:] if path.startswith(b"/v1/") else path


def _wrong_method(request: Request, methods: tuple[bytes, ...]) -> ApiError | None:
    if request.method.encode() in methods:
        return None
    if request.method == "GET" and (request.get(b"upgrade") or b"").lower() == b"websocket":
        # Codex tries `/responses` this way. On a 426 it falls back to HTTP at once, on a 405 after six more tries.
        return api_error(426, "there are no WebSockets here, only HTTP/1.1: use POST", "upgrade_required")
    allowed = b", ".join(methods).decode()
    return api_error(405, f"{request.method} is not allowed here, only {allowed}", "method_not_allowed")
