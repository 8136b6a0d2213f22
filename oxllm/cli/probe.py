"""Asks each provider of a Plan for its models and protocols, as the gateway would: with its key, proxy and CA.

GET base_url/models, and a POST of `{}` to an endpoint of each protocol. It names no model, so nothing is generated; an
endpoint that does not exist answers 404, 405 or 501. None of the provider's own text is shown.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
import msgspec

from oxllm.authorities import make_context
from oxllm.plan import ANY, PROTOCOLS_DEFAULT, Plan, Provider
from oxllm.words import bracketed, seconds

TIMEOUT_S = 10.0
SILENT = "its name server does not answer"
ENDPOINTS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
    "messages": "/messages",
}
"""Without `json`, which has no endpoint that every server has."""
ABSENT = frozenset({404, 405, 501})
VERSION = {"anthropic-version": "2023-06-01"}


class Probe(msgspec.Struct, frozen=True):
    """What one provider answered."""

    provider: str
    answer: str
    """In a few words."""
    failed: bool = False
    latency: float | None = None
    """Seconds until its list of models, including the connection."""
    models: int | None = None
    unknown: tuple[str, ...] = ()
    """Configured models that it does not list."""
    speaks: tuple[str, ...] = ()
    unspoken: tuple[str, ...] = ()
    """Configured protocols that it does not speak."""
    unused: tuple[str, ...] = ()
    """Protocols that it speaks but the config omits."""

    @property
    def warning(self) -> bool:
        """Is anything not as configured?"""
        return bool(self.unknown or self.unspoken)

    @property
    def remarks(self) -> Iterator[str]:
        """What is not as configured, one sentence each."""
        if self.unknown:
            yield f"{self.provider} does not list {', '.join(self.unknown)}"
        if self.unspoken:
            yield f"{self.provider} does not speak {', '.join(self.unspoken)}: its protocols should not list that"
        if self.unused:
            yield f"{self.provider} also speaks {', '.join(self.unused)}: its protocols may list that, too"

    def as_json(self) -> dict[str, object]:
        """For --json."""
        return {
            "provider": self.provider,
            "ok": not self.failed,
            "answer": self.answer,
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 1),
            "models": self.models,
            "unknown_models": list(self.unknown),
            "speaks": list(self.speaks),
            "does_not_speak": list(self.unspoken),
            "also_speaks": list(self.unused),
        }


def probe_all(plan: Plan) -> list[Probe]:
    """Ask all enabled providers at once, for up to 10 s."""

    async def ask() -> list[Probe]:
        return list(await asyncio.gather(*(_probe(provider, _wanted(plan, provider)) for provider in plan.providers)))

    return asyncio.run(ask())


def show_probes(probes: list[Probe]) -> None:
    """Print a table, and what is not as configured."""
    from oxllm.cli.screen import columns, paint, show
    from oxllm.grid import BAD, GOOD, WAIT, Column, Row, grid

    titles = (
        Column("PROVIDER", number=False),
        Column("PROBE", number=False, firm=True),
        Column("LATENCY"),
        Column("MODELS", leaves=2),
        Column("SPEAKS", number=False, leaves=1),
    )
    rows = []
    for probe in probes:
        latency = "-" if probe.latency is None else seconds(probe.latency)
        count = "-" if probe.models is None else str(probe.models)
        mood = BAD if probe.failed else WAIT if probe.warning else GOOD
        cells = (probe.provider, probe.answer, latency, count, ", ".join(probe.speaks) or "-")
        rows.append(Row(cells, {"PROBE": mood}))
    show("".join(f"{line}\n" for line in grid(titles, rows, columns(), paint)))
    for probe in probes:
        for remark in probe.remarks:
            show(f"{remark}\n")


def _wanted(plan: Plan, provider: Provider) -> set[str]:
    targets = (target for model in plan.virtual_models for target in model.targets)
    return set(provider.models) | {t.model for t in targets if t.provider == provider.name and t.model != ANY}


async def _probe(provider: Provider, wanted: set[str]) -> Probe:
    began = time.monotonic()
    try:
        async with client_for(provider) as client:
            response = await ask_models(client, provider)
            latency = time.monotonic() - began
            probe = _judge(provider, wanted, response, latency)
            spoken = () if probe.failed else await _spoken(client, provider)
    except httpx.TimeoutException:
        return Probe(provider.name, f"{where(provider)}: no answer within {TIMEOUT_S:g} s", failed=True)
    except httpx.HTTPError as error:
        return Probe(provider.name, f"{where(provider)}: {why(error)}", failed=True)
    if not spoken:
        lost = not probe.failed and probe.models is None and not ENDPOINTS.keys().isdisjoint(provider.protocols)
        answer = f"{where(provider)}: no path that was asked for exists; is base_url right?"
        return msgspec.structs.replace(probe, answer=answer, failed=True) if lost else probe
    return msgspec.structs.replace(
        probe,
        speaks=spoken,
        unspoken=tuple(p for p in provider.protocols if p in ENDPOINTS and p not in spoken and _is_written(provider)),
        unused=tuple(p for p in spoken if p not in provider.protocols),
    )


def _is_written(provider: Provider) -> bool:
    """Does the config list its protocols? A server need not speak all of the default ones."""
    return provider.protocols != PROTOCOLS_DEFAULT


async def ask_models(client: httpx.AsyncClient, provider: Provider) -> httpx.Response:
    """Request its list of models. If the key's header depends on the protocol, both are tried."""
    styles = [provider.auth or "bearer"]
    if provider.auth is None and "messages" in provider.protocols:
        styles = ["x-api-key", "bearer"]
    for style in styles:
        response = await client.get(f"{provider.base_url}/models", headers=_headers(provider, style))
        if response.status_code not in (401, 403):
            break
    return response


async def _spoken(client: httpx.AsyncClient, provider: Provider) -> tuple[str, ...]:
    answers = await asyncio.gather(*(_speaks(client, provider, protocol) for protocol in ENDPOINTS))
    return tuple(protocol for protocol, spoken in zip(ENDPOINTS, answers, strict=True) if spoken)


async def _speaks(client: httpx.AsyncClient, provider: Provider, protocol: str) -> bool:
    style = provider.auth or ("x-api-key" if protocol == "messages" else "bearer")
    url = provider.base_url + ENDPOINTS[protocol]
    try:
        response = await client.post(url, headers=_headers(provider, style), json={})
    except httpx.HTTPError:
        return False
    return response.status_code not in ABSENT and not response.is_redirect


class NoAuthorities(httpx.TransportError):
    """No certificate can be verified; the message says why."""


def client_for(provider: Provider) -> httpx.AsyncClient:
    """A client that connects as the gateway would. Raises NoAuthorities."""
    try:
        context: ssl.SSLContext | bool = make_context(provider.ca_file) if provider.tls else False
    except OSError:
        raise NoAuthorities("ca_file, or what SSL_CERT_FILE and SSL_CERT_DIR name, cannot be read") from None
    proxy = None
    if provider.proxy:
        credentials = provider.proxy.authorization
        headers = {"proxy-authorization": credentials} if credentials else None
        proxy = httpx.Proxy(f"http://{bracketed(provider.proxy.host)}:{provider.proxy.port}", headers=headers)
    return httpx.AsyncClient(verify=context, proxy=proxy, timeout=TIMEOUT_S, trust_env=False)


def _headers(provider: Provider, style: str) -> dict[str, str]:
    headers = dict(provider.headers)
    if provider.api_key:
        key = provider.api_key
        headers |= {"x-api-key": key} if style == "x-api-key" else {"authorization": f"Bearer {key}"}
    if "messages" in provider.protocols:
        headers = VERSION | headers
    if provider.user_agent:
        headers["user-agent"] = provider.user_agent
    return headers


def _judge(provider: Provider, wanted: set[str], response: httpx.Response, latency: float) -> Probe:
    status = response.status_code
    if status in (401, 403):
        reason = "the key is refused" if provider.api_key else "it wants a key"
        return Probe(provider.name, f"{reason} (HTTP {status})", failed=True, latency=latency)
    if status in (404, 405):
        return Probe(provider.name, f"ok, but it lists no models (HTTP {status})", latency=latency)
    if status != 200:
        return Probe(provider.name, f"{where(provider)}: HTTP {status}", failed=True, latency=latency)
    listed = _listed(response)
    if listed is None:
        answer = f"{where(provider)}: no list of models in the answer; is base_url right?"
        return Probe(provider.name, answer, failed=True, latency=latency)
    unknown = tuple(sorted(wanted - listed)) if listed else ()
    return Probe(provider.name, "ok", latency=latency, models=len(listed), unknown=unknown)


def _listed(response: httpx.Response) -> set[str] | None:
    try:
        return {str(model["id"]) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return None


# Why not.


def where(provider: Provider) -> str:
    """The host and port that are connected to."""
    host, port = (provider.proxy.host, provider.proxy.port) if provider.proxy else (provider.host, provider.port)
    via = "proxy " if provider.proxy else ""
    return f"{via}{bracketed(host)}:{port}"


def why(error: BaseException) -> str:
    """The root cause of an httpx error, in a few words."""
    if isinstance(error, NoAuthorities):
        return str(error)
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS fails: {(cause.reason or 'no reason given').replace('_', ' ').lower()}; is it http?"
        if isinstance(cause, socket.gaierror):
            return unknown(cause)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()  # asyncio's own message would repeat the address
    if isinstance(error, httpx.ProxyError):
        return f"the proxy says: {error}"
    return "the connection breaks" if isinstance(error, httpx.ReadError) else f"no HTTP ({type(error).__name__})"


def unknown(error: socket.gaierror) -> str:
    """Why a name has no address, which may be nobody's fault but the name server's."""
    return SILENT if error.errno == socket.EAI_AGAIN else "there is no such host"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        error = error.__cause__ or error.__context__
