"""A gateway as one writes it in an afternoon, for the report card to catch: `naive_proxy.py PORT URL`.

It knows one provider, retries any failure twice at once, and ends a stream in order however it ended.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

PROVIDER = sys.argv[2] if len(sys.argv) > 2 else ""
CLIENT = httpx.AsyncClient(timeout=60, trust_env=False)


async def chat(request: Request) -> Response:
    body = await request.body()
    for attempt in range(3):
        try:
            asked = CLIENT.build_request("POST", PROVIDER + "/chat/completions", content=body)
            answer = await CLIENT.send(asked, stream=True)
        except httpx.HTTPError:
            continue
        if answer.status_code == 200 or attempt == 2:
            return StreamingResponse(passed_on(answer), answer.status_code, media_type=answer.headers["content-type"])
        await answer.aclose()
    return PlainTextResponse("bad gateway", 502)


async def passed_on(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for data in answer.aiter_raw():
            yield data
    except httpx.HTTPError:
        yield b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


async def health(_request: Request) -> Response:
    return PlainTextResponse("ok")


APP = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)])

if __name__ == "__main__":
    uvicorn.run(APP, port=int(sys.argv[1]), log_level="error")
