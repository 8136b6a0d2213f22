"""Talking to a running gateway."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click
import httpx

from oxllm.cli.find import Gateway, again, frozen
from oxllm.cli.options import Failure, Leaving, NotRunning

TIMEOUT_S = 35.0
"""The slowest answer is that of a reload, which the gateway abandons after 30 s."""
ID = "x-request-id"
OURS = "oxllm-"
"""Prefix of the ids that a gateway gives to requests without one. They are in every response."""


def call(gateway: Gateway, method: str, path: str, timeout_s: float = TIMEOUT_S) -> httpx.Response:
    """One request to an operator route.

    Raises NotRunning if no oxllm answers, Leaving if it is draining and has closed its listener, Failure if it refuses
    us or cannot answer.
    """
    stopped = frozen(gateway.run.pid) if gateway.run is not None else ""
    if stopped:
        raise Failure(f"{gateway.url} does not answer: {stopped}")
    headers = {"authorization": f"Bearer {gateway.token}"} if gateway.token else {}
    tls = gateway.url.startswith("https:")  # without TLS, do not spend 30 ms reading the CA bundle
    try:
        response = httpx.request(
            method, gateway.url + path, headers=headers, timeout=timeout_s, trust_env=False, verify=tls
        )
    except httpx.ConnectError:
        raise _nothing_answers(gateway) from None
    except httpx.RemoteProtocolError:
        raise NotRunning(f"what answers at {gateway.url} is not oxllm: it does not speak HTTP") from None
    except httpx.HTTPError as error:
        raise Failure(f"{gateway.url} did not answer: {error}") from None
    except httpx.InvalidURL:
        raise click.UsageError(f"{gateway.url!r} is not an http URL") from None
    if not response.headers.get(ID, "").startswith(OURS):
        raise not_oxllm(gateway, response)
    if response.status_code in (401, 403):
        raise Failure(f"{gateway.url} refused: {error_message(response)}{_how_to_get_in(gateway, response)}")
    return response


def segment(name: str) -> str:
    """A name as one segment of a path, even if it is a dot segment (RFC 3986 section 5.2.4). Raises Failure if it is
    empty."""
    if not name:
        raise Failure("an empty name is nobody's")
    return "%2E" * len(name) if name in (".", "..") else escaped(name)


def escaped(text: str) -> str:
    """A text for a URL, percent-encoded; what the command line gave as bytes that are no UTF-8 goes as these."""
    return quote(text, safe="", errors="surrogateescape")


def call_json(gateway: Gateway, method: str, path: str) -> dict[str, Any]:
    """The JSON object that a route answers with. Raises NotRunning if what answers is not oxllm."""
    response = call(gateway, method, path)
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise not_oxllm(gateway, response)
    return answer


def greet(gateway: Gateway) -> None:
    """Before a request that has effects, check that this is an oxllm. Raises NotRunning if not."""
    if gateway.run is None:
        call(gateway, "GET", "/health", timeout_s=5.0)


def _nothing_answers(gateway: Gateway) -> Failure:
    run = again(gateway)
    if run is not None and run.draining is not None:
        return Leaving(run, run.draining)
    return NotRunning(f"not running: nothing answers at {gateway.url}")


def not_oxllm(gateway: Gateway, response: httpx.Response) -> NotRunning:
    """The error for another server at its address."""
    from oxllm.words import printable

    server = printable(response.headers.get("server", ""))[:60]
    return NotRunning(f"what answers at {gateway.url} is not oxllm{f' but {server}' if server else ''}")


def _how_to_get_in(gateway: Gateway, response: httpx.Response) -> str:
    if response.status_code != 401 or gateway.token:
        return ""
    return "; set OXLLM_ADMIN_TOKEN to it and name the gateway by --url, or run this as the user that it runs as"


def error_message(response: httpx.Response) -> str:
    """The message of an error object, or the status if there is none."""
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {response.status_code}"
