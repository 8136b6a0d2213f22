"""The gateway as its HTTP server sees it: which path is what, who may, and what is too much."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

import msgspec

from oxllm import __version__
from oxllm.core.attempt import Facts
from oxllm.core.body import BadBody, PassedBody, RequestBody
from oxllm.core.errors import ApiError, api_error
from oxllm.core.protocols.base import Endpoint, Protocol
from oxllm.core.protocols.registry import place_of
from oxllm.core.route import Route
from oxllm.core.routing import Router
from oxllm.gateway import cors
from oxllm.gateway.client.paths import asks, unescape
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.shared import overloaded
from oxllm.gateway.models import Catalogue
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.operator.access import Access
from oxllm.gateway.operator.admin import READ, Admin
from oxllm.gateway.relay import Relay
from oxllm.gateway.runtime import Runtime
from oxllm.gateway.sessions import HEADERS as SESSION_HEADERS
from oxllm.gateway.sessions import session_of
from oxllm.plan import Plan

Handler = Callable[["Service", Request], None]

DEADLINE_SHARE = 0.95
"""Of the client's own time limit: the rest is for our answer to reach it before it hangs up."""
TIMEOUT_HEADERS = frozenset((b"x-stainless-read-timeout", b"x-stainless-timeout"))
NEEDED = frozenset(
    (b"authorization", b"x-api-key", b"host", b"origin", b"traceparent", *TIMEOUT_HEADERS, *SESSION_HEADERS)
)
NEEDED_PREFIXES = (b"anthropic-", b"openai-")
"""Headers that are looked at once a request has been taken on."""
ROOT = b"/"
"""Where agents look whether anybody is there."""
GREETING = b"oxllm %b, a gateway to LLM APIs: GET /v1/models lists what it serves\n" % __version__.encode()

_json = msgspec.json.Encoder()


def client_timeout(request: Request) -> float | None:
    """How long the client says that it will wait, less a little, in seconds.

    The OpenAI SDKs send it with each request (Python `x-stainless-read-timeout`, Node `x-stainless-timeout`).
    """
    limit = None
    for name, value in request.headers:
        if name in TIMEOUT_HEADERS:
            try:
                seconds = float(value) * DEADLINE_SHARE
            except ValueError:
                continue
            if DEADLINE_SHARE <= seconds < inf and (limit is None or seconds < limit):
                limit = seconds
    return limit


class Service:
    """What the client side asks of a gateway. One class, since it is all of `client.shared.Service`."""

    __slots__ = ("_access", "_admin", "_catalogue", "_in_flight", "_journal", "_plan", "_runtime")

    def __init__(self, runtime: Runtime, journal: Journal, admin: Admin, created: int) -> None:
        """`created`: start of the process, seconds since the epoch; /v1/models shows it."""
        self._runtime = runtime
        self._in_flight = 0
        """Requests whose head was accepted and whose end has not come."""
        self._journal = journal
        self._admin = admin
        self._catalogue = Catalogue(created)
        self._plan = runtime.generation.plan
        self._access = Access(self._plan.server)

    @property
    def access(self) -> Access:
        """The rules of the running config."""
        if self._runtime.generation.plan is not self._plan:
            self._plan = self._runtime.generation.plan
            self._access = Access(self._plan.server)
        return self._access

    # client.shared.Service

    def operator_route(self, request: Request) -> bool:
        """Is this one of the routes that are never shed?"""
        return self._admin.knows(request.path)

    def head(self, request: Request) -> None:
        """Refuse what needs no body to be refused."""
        if self._endpoint(request) is not None:
            error = self.access.client(request) or self._too_much()
            if error is None:
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
        """Head and body are there."""
        found = self._endpoint(request)
        if found is not None:
            relay = self._recall if found[1].keeps else self._relay
            relay(request, *found)
        elif self._admin.knows(request.path):
            self._admin.serve(request)
        elif request.path == ROOT:
            request.respond(200, [(b"content-type", b"text/plain; charset=utf-8")], GREETING)
        elif (path := _strip_v1(request.path)) == b"/models":
            self._models(request)
        else:
            self._model(request, unescape(path[len(b"/models/") :]))

    def needs(self, name: bytes) -> bool:
        """Whether a header of that name is looked at once a request has been taken on."""
        return name in NEEDED or name.startswith(NEEDED_PREFIXES)

    def ended(self, request: Request) -> None:
        """One that was accepted is no more."""
        if request.in_flight:
            self._in_flight -= 1

    def crashed(self, request: Request | None, error: Exception) -> None:
        """A bug of ours showed while `request` was read, served or answered."""
        where = f"request {request.id}" if request is not None else "a connection"
        self._journal.internal_error(where, error)

    def refused(self, request: Request, error: ApiError) -> None:
        """The connection answers `error` by itself: what it got was broken, too large or too slow."""
        self._journal.refused(error.status, error.message, request.id, request.peer)

    # Before the body.

    def _admin_error(self, request: Request) -> ApiError | None:
        error = self.access.operator(request, health=request.path == b"/health")
        if error is not None:
            self._admin.refused(request, error)
            return error
        return _wrong_method(request, self._admin.methods(request.path))

    def _methods(self, path: bytes) -> tuple[bytes, ...]:
        """What a path can be asked with; nothing if it does not exist."""
        if self._admin.knows(path):
            return self._admin.methods(path)
        if path == ROOT:
            return READ
        if methods := self._runtime.generation.endpoints.methods(path):
            return methods
        path = _strip_v1(path)
        return READ if path == b"/models" or (path.startswith(b"/models/") and len(path) > len(b"/models/")) else ()

    def _client_error(self, request: Request) -> ApiError | None:
        methods = self._methods(request.path)
        if not methods:
            protocol = place_of(request.path)
            if protocol is None:
                return api_error(404, f"there is no {unescape(request.path)[:200]!r} here", "not_found")
            return self.access.client(request) or _nobody_speaks(self._plan, protocol)
        if request.method == "OPTIONS" and self.access.cors(request) is not None:
            asked = request.get(b"access-control-request-headers")
            request.respond(204, self._cors_headers(request) + cors.preflight(methods, asked), b"")
            return None
        return _wrong_method(request, methods) or self.access.client(request)

    def _too_much(self) -> ApiError | None:
        if self._in_flight >= self._plan.server.max_in_flight:
            message = f"{self._in_flight} requests are being served, the most that max_in_flight allows"
            return overloaded(message)
        return None

    def _refuse(self, request: Request, error: ApiError) -> None:
        if not self._admin.knows(request.path):
            self.refused(request, error)
        self.answer(request, error)

    def answer(self, request: Request, error: ApiError) -> None:
        """Answer `error`, in the words of the API that was called."""
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
        """Whose errors a client reads: of the API that it calls, or whose version it names on a path of no API."""
        endpoints = self._runtime.generation.endpoints
        named = endpoints.speaker(b"/messages") if request.get(b"anthropic-version") is not None else None
        return endpoints.speaker(request.path) or named

    def _cors_headers(self, request: Request) -> list[tuple[bytes, bytes]]:
        return cors.headers(None if self._admin.knows(request.path) else self.access.cors(request))

    # /v1

    def _endpoint(self, request: Request) -> tuple[Protocol, Endpoint] | None:
        """What a request to a provider is for."""
        return self._runtime.generation.endpoints.find(request.method, request.path)

    def _relay(self, request: Request, protocol: Protocol, endpoint: Endpoint) -> None:
        generation = self._runtime.generation
        try:
            body = RequestBody.parse(request.body)
            asked = protocol.asked(endpoint, body)
        except BadBody as bad:
            self._refuse(request, api_error(400, str(bad), param=bad.param))
            return
        route = generation.router.resolve(body.model)
        if route is None:
            self._refuse(request, _no_model(generation.router, body.model))
            return
        speaking = route.speaking(protocol.name)
        if speaking is None:
            self._refuse(request, _not_spoken(route, protocol))
            return
        owner = None if asked.previous is None else self._runtime.owners.owner(asked.previous)
        if owner is not None:
            speaking = speaking.at(owner)
        session = session_of(request, body) if speaking.affinity else None
        timeout = client_timeout(request)
        facts = Facts(protocol, endpoint, asked, request.id, timeout, owner is not None, body.model, session)
        Relay(self._runtime, generation, request, body, facts, speaking, self._cors_headers(request)).start()

    def _recall(self, request: Request, protocol: Protocol, endpoint: Endpoint) -> None:
        """A request for an answer that a provider keeps: it goes to who made it, or to one after the other."""
        generation, owners = self._runtime.generation, self._runtime.owners
        name = unescape(generation.endpoints.answer(request.path))
        about = endpoint.about(name)
        if about is None:
            self._refuse(request, api_error(404, f"there is no answer {name[:200]!r}", "not_found"))
            return
        route = generation.router.keepers(protocol.name, self._runtime.now(), owners.owner(name))
        asked = protocol.asked_about(request.query)
        facts = Facts(protocol, about, asked, request.id, client_timeout(request), True)
        body = PassedBody(request.body)
        Relay(self._runtime, generation, request, body, facts, route, self._cors_headers(request)).start()

    def _models(self, request: Request) -> None:
        names = self._runtime.generation.router.models(self._runtime.now(), asks(request, b"all=1"))
        listed = self._catalogue.all(request, names)
        if isinstance(listed, ApiError):
            self._refuse(request, listed)
        else:
            self._reply(request, listed)

    def _model(self, request: Request, name: str) -> None:
        if self._runtime.generation.router.resolve(name) is None:
            self._refuse(request, _no_model(self._runtime.generation.router, name))
        else:
            self._reply(request, self._catalogue.one(request, name))

    def _reply(self, request: Request, value: object) -> None:
        fields = [(b"content-type", b"application/json"), *self._cors_headers(request)]
        request.respond(200, fields, _json.encode(value))


def _no_model(router: Router, model: str) -> ApiError:
    close = router.similar(model)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return api_error(404, f"the model {model[:200]!r} does not exist here{hint}", "model_not_found", "model")


def _not_spoken(route: Route, protocol: Protocol) -> ApiError:
    """No target of a model speaks what its client does: say which do what, and what to add."""
    spoken = {candidate.plan.name: candidate.plan.protocols for candidate in route.candidates}
    told = _spoken(spoken, protocol.name)
    message = f"no target of the model {route.name!r} speaks {protocol.name}: {told}"
    return api_error(404, message, "model_not_found", "model")


def _nobody_speaks(plan: Plan, protocol: str) -> ApiError:
    spoken = {provider.name: provider.protocols for provider in plan.providers}
    return api_error(404, f"no provider here speaks {protocol}: {_spoken(spoken, protocol)}", "model_not_found")


def _spoken(spoken: Mapping[str, Sequence[str]], wanted: str) -> str:
    who = "; ".join(f"{name} speaks {', '.join(protocols)}" for name, protocols in spoken.items())
    return f'{who or "there is none"}; add "{wanted}" to the `protocols` of a provider that does'


def _strip_v1(path: bytes) -> bytes:
    return path[3:] if path.startswith(b"/v1/") else path


def _wrong_method(request: Request, methods: tuple[bytes, ...]) -> ApiError | None:
    if request.method.encode() in methods:
        return None
    allowed = b", ".join(methods).decode()
    return api_error(405, f"{request.method} is not allowed here, only {allowed}", "method_not_allowed")
