"""The checks of `oxllm doctor` on the way to each provider: name, connection, TLS, proxy, clock, key."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from oxllm.cli.finding import FAIL, OK, WARN, Finding
from oxllm.cli.probe import SILENT, TIMEOUT_S, NoAuthorities, ask_models, client_for, unknown, where, why
from oxllm.config.problem import BadValueError
from oxllm.config.proxies import parse_proxy, proxy_variable
from oxllm.plan import Plan, Provider, Proxy
from oxllm.words import duration, seconds

SKEW_MAX_S = 60.0
"""With more skew, certificates may seem invalid, and the log cannot be compared with others'."""
NAME_SERVER = "is there a network? Look at /etc/resolv.conf"
SOON_S = 14 * 86400.0
"""Warn of a certificate that expires sooner."""


def ways(plan: Plan) -> list[Finding]:
    """Check all providers at once, for up to 10 s each."""

    async def look() -> list[list[Finding]]:
        return list(await asyncio.gather(*(_way(provider) for provider in plan.providers)))

    return [finding for findings in asyncio.run(look()) for finding in findings]


async def _way(provider: Provider) -> list[Finding]:
    name = provider.name
    found = await _name(provider)
    if found.state == FAIL:
        return [found]
    began = time.monotonic()
    try:
        async with client_for(provider) as client:
            response = await ask_models(client, provider)
    except httpx.TimeoutException:
        fix = _through(provider) or f"is a firewall between? A proxy is set by `proxy` or {_variable(provider)}"
        return [found, Finding(f"{name}: connection", FAIL, f"{where(provider)}: no answer in {TIMEOUT_S:g} s", fix)]
    except httpx.HTTPError as error:
        return [found, Finding(f"{name}: connection", FAIL, f"{where(provider)}: {why(error)}", _fix(provider, error))]
    took = seconds(time.monotonic() - began)
    findings = [found, Finding(f"{name}: connection", OK, f"{where(provider)} in {took}")]
    return [*findings, *_certificate(provider, response), *_clock(name, response), _key(provider, response)]


async def _name(provider: Provider) -> Finding:
    host = provider.proxy.host if provider.proxy else provider.host
    what = f"{provider.name}: name"
    try:
        async with asyncio.timeout(TIMEOUT_S):
            addresses = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        return Finding(what, FAIL, f"{host}: {SILENT}", NAME_SERVER)
    except socket.gaierror as error:
        reason = unknown(error)
        fix = NAME_SERVER if reason == SILENT else "is base_url right? Does `getent hosts` know it?"
        return Finding(what, FAIL, f"{host}: {reason}", _through(provider) or fix)
    numbers = list(dict.fromkeys(str(address[4][0]) for address in addresses))
    return Finding(what, OK, ", ".join(numbers[:3]) + (f" and {len(numbers) - 3} more" if len(numbers) > 3 else ""))


def _fix(provider: Provider, error: httpx.HTTPError) -> str:
    reason = why(error)
    if isinstance(error, NoAuthorities):
        return "put that right: the gateway reads the same, and trusts nobody beside"
    if "certificate" in reason:
        return "is a proxy in between? Its authority goes into `ca_file`; is this machine's clock right?"
    if "is it http" in reason:
        return "the port speaks no TLS: write http:// in base_url, or the port of https"
    return _through(provider) or "does the server run, and at that port?"


def _variable(provider: Provider) -> str:
    return "HTTPS_PROXY" if provider.tls else "http_proxy"


def _through(provider: Provider) -> str:
    """Which setting routes it through a proxy, and how to avoid that; empty if none does."""
    if provider.proxy is None:
        return ""
    variable = proxy_variable(os.environ, provider.tls, provider.host)
    if variable is None or not _is(os.environ[variable], provider.proxy):
        return 'the way leads through a proxy, by its `proxy`; if it should not, write proxy = ""'
    return f"the way leads through a proxy, by {variable}; if it should not, put {provider.host} into no_proxy"


def _is(text: str, proxy: Proxy) -> bool:
    try:
        return parse_proxy(text) == proxy
    except BadValueError:
        return False


def _certificate(provider: Provider, response: httpx.Response) -> Iterator[Finding]:
    stream = response.extensions.get("network_stream")
    tls = stream.get_extra_info("ssl_object") if stream is not None and provider.tls else None
    if tls is None or not (ends := (tls.getpeercert() or {}).get("notAfter")):
        return
    left = ssl.cert_time_to_seconds(ends) - time.time()
    state = OK if left > SOON_S else WARN
    yield Finding(f"{provider.name}: TLS", state, f"{tls.version()}, valid for {duration(left)}")


def _clock(name: str, response: httpx.Response) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(response.headers["date"])
    except (KeyError, ValueError):
        return
    skew = abs((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds())
    if skew > SKEW_MAX_S:
        fix = "set this machine's clock (timedatectl): certificates depend on it, and the times in the log"
        yield Finding(f"{name}: clock", WARN, f"{duration(skew)} apart", fix)


def _key(provider: Provider, response: httpx.Response) -> Finding:
    what, status = f"{provider.name}: key", response.status_code
    if status in (401, 403):
        found = f"refused (HTTP {status})" if provider.api_key else f"none, and it wants one (HTTP {status})"
        return Finding(what, FAIL, found, "put a valid key into its variable or file, then `oxllm reload`")
    if status == 200:
        return Finding(what, OK, "accepted" if provider.api_key else "none is needed")
    return Finding(what, OK if status in (404, 405) else WARN, f"cannot tell: HTTP {status} for its list of models")
