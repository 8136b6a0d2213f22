"""The control API, on every provider's own port: Starlette on uvicorn.

    GET   /-/sim                state of all providers
    PATCH /-/sim                {"upstream":"alpha","faults":["429 30%"],"pace":"slow","limit":"60 rpm","ttl":"10s"}
    DELETE /-/sim               reverts all patches
    GET   /-/sim/ledger         ?upstream=alpha: every request and its fate
    POST  /-/sim/gate/NAME      opens a gate that stalls wait at

A patch replaces the previous one. What it omits is as in the scenario, and `{"upstream":"alpha"}` alone reverts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from oxllm.sim.faults.base import Layer
from oxllm.sim.provider import limits, pace
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script import grammar, scenes
from oxllm.sim.script.grammar import Dosed
from oxllm.sim.script.scenario import Scene
from oxllm.sim.serve.live import Live
from oxllm.sim.serve.local import foreign


class Patch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of a PATCH."""

    upstream: str
    faults: list[str] | None = None
    pace: str | None = None
    limit: str | None = None
    ttl: str | None = None


def control(live: Live) -> Callable[[], asyncio.Protocol]:
    """A factory of protocols, each of which serves one connection to the control API."""
    app = _no_pages(_app(live), live)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", proxy_headers=False)
    config.load()
    state = ServerState()
    return lambda: HttpToolsProtocol(config=config, server_state=state, app_state={})


def _app(live: Live) -> Starlette:
    async def state(_request: Request) -> Response:
        return _json(_state(live))

    async def patch(request: Request) -> Response:
        try:
            body = msgspec.json.decode(await request.body(), type=Patch)
            provider = live.providers[body.upstream]
            faults = None if body.faults is None else [grammar.parse(text) for text in body.faults]
            speed = None if body.pace is None else pace.parse(body.pace)
            limit = None if body.limit is None else limits.parse(body.limit)
            ttl = FOREVER if body.ttl is None else pace.seconds(body.ttl)
            _check(live, body.upstream, faults or ())
        except KeyError as error:
            return _json({"error": f"unknown upstream {error}; there are {', '.join(live.providers)}"}, 404)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        provider.patch(live.now, faults, speed, limit, ttl)
        await live.changed(body.upstream)
        return _json(_state(live))

    async def revert(_request: Request) -> Response:
        for name, provider in live.providers.items():
            provider.patch(live.now)
            await live.changed(name)
        return _json(_state(live))

    async def ledger(request: Request) -> Response:
        wanted = request.query_params.get("upstream")
        if wanted is not None and wanted not in live.providers:
            return _json({"error": f"unknown upstream {wanted!r}; there are {', '.join(live.providers)}"}, 404)
        names = live.providers if wanted is None else [wanted]
        return _json([record for name in names for record in live.providers[name].ledger.records])

    async def gate(request: Request) -> Response:
        return _json({"waiting": live.gates.open(request.path_params["name"])})

    return Starlette(
        routes=[
            Route("/-/sim", state, methods=["GET"]),
            Route("/-/sim", patch, methods=["PATCH"]),
            Route("/-/sim", revert, methods=["DELETE"]),
            Route("/-/sim/ledger", ledger, methods=["GET"]),
            Route("/-/sim/gate/{name}", gate, methods=["POST"]),
        ]
    )


def _no_pages(app: ASGIApp, live: Live) -> ASGIApp:
    """Wrap the application to refuse web pages, and requests through a proxy."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        address, port = scope["server"]
        why = foreign(Headers(scope=scope), scope["scheme"], address, live.host)
        if why is None:
            await app(scope, receive, send)
        else:
            url = f"{scope['scheme']}://localhost:{port}{scope['path']}"
            error = f"the control API answers this machine only, and {why}; ask {url}"
            await _json({"error": error}, 403)(scope, receive, send)

    return guarded


def _check(live: Live, upstream: str, faults: Sequence[Dosed]) -> None:
    """Refuse faults that a scene could not have. Raises ValueError with all errors."""
    if any(dosed.fault.strikes_at() is Layer.NAME for dosed in faults):
        raise ValueError("a name cannot be taken back while it runs; write dns into a scene")
    errors = [*scenes.in_itself(Scene("patch", (upstream,), tuple(faults)), set(live.providers))]
    if live.authority is None and any(dosed.fault.strikes_at() is Layer.HANDSHAKE for dosed in faults):
        errors.append("TLS faults need --tls")
    if errors:
        raise ValueError("; ".join(errors))


def _state(live: Live) -> object:
    elapsed = max(provider.elapsed(live.now) for provider in live.providers.values())
    return {
        "seed": live.scenario.seed,
        "elapsed": round(elapsed, 3),
        "upstreams": {
            name: {
                "url": live.url(name),
                "dialect": provider.upstream.dialect,
                "port": live.ports[name].state.value,
                "patched": provider.patched,
                "plays": [str(dosed) for scene in provider.judge.playing(elapsed) for dosed in scene.faults],
                "scenes": [scene.name for scene in provider.judge.playing(elapsed)],
                "connections": provider.ledger.connections,
                "requests": provider.ledger.requests,
            }
            for name, provider in live.providers.items()
        },
    }


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
