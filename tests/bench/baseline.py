"""What one would write first: a streaming proxy on Starlette, uvicorn and httpx, as their documentation shows it.

    python -m tests.bench.baseline --port P --upstream http://127.0.0.1:Q/v1

It swaps `model`, forwards, streams back; no failover, no limits, no log. oxllm is measured beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


def application(upstream: str) -> Starlette:
    """The proxy in front of one provider's base URL."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits, timeout=600, trust_env=False) as client:
            app.state.client = client
            yield

    async def chat(request: Request) -> Response:
        client: httpx.AsyncClient = request.app.state.client
        body = json.loads(await request.body())
        body["model"] = "big-1"
        call = client.build_request(
            "POST", f"{upstream}/chat/completions", json=body, headers={"authorization": "Bearer sk-local"}
        )
        answer = await client.send(call, stream=True)
        kind = {"content-type": answer.headers["content-type"]}
        if body.get("stream"):
            closing = BackgroundTask(answer.aclose)
            return StreamingResponse(answer.aiter_raw(), answer.status_code, headers=kind, background=closing)
        return Response(await answer.aread(), answer.status_code, headers=kind)

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    routes = [Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)]
    return Starlette(routes=routes, lifespan=lifespan)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.baseline")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    arguments = parser.parse_args()
    uvicorn.run(
        application(arguments.upstream), host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False
    )


if __name__ == "__main__":
    main()
