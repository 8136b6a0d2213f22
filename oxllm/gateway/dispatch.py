"""Turns a request into the relay that drives it (what is asked, of which model, until when), or into a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from typing import Final

from oxllm.core.protocols.base import Protocol
from oxllm.core.protocols.endpoint import Endpoint
from oxllm.core.protocols.registry import meant
from oxllm.core.reading.hints import Headers
from oxllm.core.request.facts import RequestFacts
from oxllm.core.routing.route import Route
from oxllm.core.routing.router import Router
from oxllm.core.wire.body import PassedBody, RequestBody
from oxllm.core.wire.body_faults import BadBody
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.paths import unescape
from oxllm.gateway.client.request import Request
from oxllm.gateway.relay import Relay
from oxllm.gateway.runtime import Generation, Runtime
from oxllm.gateway.sessions import session_of
from oxllm.plan import Plan

DEADLINE_SHARE: Final = 0.95
"""Share of the client's own timeout that we use: the rest lets our answer reach it before it hangs up."""
READ_TIMEOUT: Final = b"x-stainless-read-timeout"
WHOLE_TIMEOUT: Final = b"x-stainless-timeout"
TIMEOUT_HEADERS: Final = frozenset((READ_TIMEOUT, WHOLE_TIMEOUT))
PROBES: Final = frozenset((b"health", b"healthz", b"livez", b"readyz", b"live", b"ready", b"ping"))
"""Health endpoints of other servers, Kubernetes' own and LiteLLM among them."""
OLLAMA: Final = re.compile(rb"(?:/v1)?/api/(?:chat|generate|tags|show|embed|ps|version)$")
GOOGLE: Final = b"/v1beta/"
"""APIs that many clients have as kinds of providers of their own."""


class Dispatcher:
    """Starts relays. `start` and what it calls return a refusal, or None once the request is under way."""

    __slots__ = ("_runtime",)

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def start(
        self,
        request: Request,
        generation: Generation,
        protocol: Protocol,
        endpoint: Endpoint,
        extra_headers: Headers,
    ) -> ApiError | None:
        """Relay a request for a provider's endpoint by the config that it began with. `extra_headers` are added to
        whatever response it gets."""
        if endpoint.keeps:
            return self._recall(request, generation, protocol, endpoint, extra_headers)
        owners = self._runtime.owners
        try:
            body = RequestBody.parse(request.body)
            asked = protocol.asked(endpoint, body)
        except BadBody as bad:
            return _coded(request) or api_error(400, str(bad), param=bad.param)
        route = generation.router.resolve(body.model)
        if route is None:
            return no_model(generation.router, body.model)
        speaking = route.speaking(protocol.name)
        if speaking is None:
            return _not_spoken(route, protocol)
        owner = None if asked.previous is None else owners.owner(asked.previous)
        if owner is not None:
            speaking = speaking.at(owner)
        elif asked.previous is not None and not protocol.asks_around:
            return protocol.uncontinued(api_error(404, "nobody is known to have its last message"))
        session = session_of(request, body) if speaking.affinity else None
        timeout = client_timeout(request)
        facts = RequestFacts(
            protocol, endpoint, asked, request.id, timeout, stored=owner is not None, model=body.model, session=session
        )
        Relay(self._runtime, generation, request, body, facts, speaking, extra_headers).start()
        return None

    def _recall(
        self,
        request: Request,
        generation: Generation,
        protocol: Protocol,
        endpoint: Endpoint,
        extra_headers: Headers,
    ) -> ApiError | None:
        """A request about an answer that a provider keeps: ask its maker or, if unknown, one provider after another."""
        owners = self._runtime.owners
        name = unescape(endpoint.answer_in(request.path))
        about = endpoint.about(name)
        if about is None:
            return api_error(404, f"there is no answer {name[:200]!r}", "not_found")
        route = generation.router.keepers(protocol.name, self._runtime.now(), owners.owner(name), owners.model(name))
        asked = protocol.asked_about(request.query)
        facts = RequestFacts(protocol, about, asked, request.id, client_timeout(request), stored=True)
        # GET and DELETE have none: a provider that does not read it would take it for its next request (a GET's is one
        # of the classic ways to smuggle), and the connection is one that all clients share.
        body = PassedBody(request.body if about.method == "POST" else b"")
        Relay(self._runtime, generation, request, body, facts, route, extra_headers).start()
        return None


def _coded(request: Request) -> ApiError | None:
    """415 for a body that its Content-Encoding declares compressed."""
    coding = (request.get(b"content-encoding") or b"").decode("latin-1")
    if coding.lower() in ("", "identity"):
        return None
    return api_error(415, f"a body with the content-encoding {coding[:200]!r} cannot be read here: send it as it is")


def client_timeout(request: Request) -> float | None:
    """How long the client says it will wait, less a margin, in seconds.

    The OpenAI SDKs send it with each request (Python `x-stainless-read-timeout`, Node `x-stainless-timeout`).
    """
    if READ_TIMEOUT not in request.fields.first and WHOLE_TIMEOUT not in request.fields.first:
        return None
    limit = None
    for name, value in request.fields.all:
        if name in TIMEOUT_HEADERS:
            try:
                seconds = float(value) * DEADLINE_SHARE
            except ValueError:
                continue
            if DEADLINE_SHARE <= seconds < inf and (limit is None or seconds < limit):
                limit = seconds
    return limit


def no_model(router: Router, model: str) -> ApiError:
    """404 for a name that is no model here."""
    close, (provider, slash, name) = router.similar(model), model.partition("/")
    why = f": {provider!r} does not list {name[:200]!r} in `models`" if slash and provider in router.providers else ""
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return api_error(404, f"the model {model[:200]!r} does not exist here{why}{hint}", "model_not_found", "model")


def no_path(path: bytes) -> ApiError:
    """404 for a path that no API has, with a hint at the one that was probably meant."""
    message = f"there is no {unescape(path)[:200]!r} here"
    if elsewhere := meant(path):
        message += f", but {elsewhere.decode()!r}: look at the client's base URL"
    elif not PROBES.isdisjoint(path.split(b"/")):
        message += ", but '/health'"
    elif whose := "Ollama" if OLLAMA.match(path) else "Google" if path.startswith(GOOGLE) else "":
        message += f", which is {whose}'s API: have the client take this for an OpenAI-compatible server, with a base"
        message += " URL that ends in /v1"
    elif path.startswith(b"/v1/"):
        message += "; what is passed on names a model, in JSON: ask a provider itself for files, batches and the like"
    return api_error(404, message, "not_found")


def nobody_speaks(plan: Plan, protocol: str) -> ApiError:
    """404 for a path of a protocol that no provider speaks."""
    spoken = {provider.name: provider.protocols for provider in plan.providers}
    return api_error(404, f"no provider here speaks {protocol}: {_spoken(spoken, protocol)}", "model_not_found")


def _not_spoken(route: Route, protocol: Protocol) -> ApiError:
    """404: no target of the model speaks the client's protocol. Says what each of them speaks, and what to add."""
    spoken = {candidate.plan.name: candidate.plan.protocols for candidate in route.candidates}
    told = _spoken(spoken, protocol.name)
    message = f"no target of the model {route.name!r} speaks {protocol.name}: {told}"
    return api_error(404, message, "model_not_found", "model")


def _spoken(spoken: Mapping[str, Sequence[str]], wanted: str) -> str:
    who = "; ".join(f"{name} speaks {', '.join(protocols)}" for name, protocols in spoken.items())
    return f'{who or "there is none"}; add "{wanted}" to the `protocols` of a provider that does'
