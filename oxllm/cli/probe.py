"""Asking each provider of a Plan for its models, as the gateway would reach it: its key, its proxy, its CA."""

from __future__ import annotations

import asyncio
import ssl

import httpx
import msgspec

from oxllm.plan import Plan, Provider
from oxllm.words import count

TIMEOUT_S = 10.0


class Probe(msgspec.Struct, frozen=True):
    """What one provider said to GET base_url/models."""

    provider: str
    answer: str
    """In a few words; nothing of the provider's own text."""
    failed: bool = False
    unknown: tuple[str, ...] = ()
    """Configured models that it does not list."""

    @property
    def warning(self) -> bool:
        """Is it reachable, but not all as configured?"""
        return bool(self.unknown)

    def __str__(self) -> str:
        mark = "FAILED" if self.failed else "ok    "
        missing = f"; it does not list {', '.join(self.unknown)}" if self.unknown else ""
        return f"probe {mark}  {self.provider}: {self.answer}{missing}"

    def as_json(self) -> dict[str, object]:
        """For --json."""
        unknown = list(self.unknown)
        return {"provider": self.provider, "ok": not self.failed, "answer": self.answer, "unknown_models": unknown}


def probe_all(plan: Plan) -> list[Probe]:
    """Ask all enabled providers at once, for up to 10 s."""

    async def ask() -> list[Probe]:
        return list(await asyncio.gather(*(_probe(provider, _wanted(plan, provider)) for provider in plan.providers)))

    return asyncio.run(ask())


def _wanted(plan: Plan, provider: Provider) -> set[str]:
    targets = (target for model in plan.virtual_models for target in model.targets)
    return set(provider.models) | {target.model for target in targets if target.provider == provider.name}


async def _probe(provider: Provider, wanted: set[str]) -> Probe:
    try:
        async with _client(provider) as client:
            response = await client.get(f"{provider.base_url}/models", headers=_headers(provider))
    except httpx.TimeoutException:
        return Probe(provider.name, f"no answer within {TIMEOUT_S:g} s", failed=True)
    except httpx.HTTPError as error:
        return Probe(provider.name, f"cannot be reached ({type(error).__name__}: {error})", failed=True)
    return _judge(provider, wanted, response)


def _client(provider: Provider) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=provider.ca_file)
    proxy = None
    if provider.proxy:
        host = f"[{provider.proxy.host}]" if ":" in provider.proxy.host else provider.proxy.host
        credentials = provider.proxy.authorization
        headers = {"proxy-authorization": credentials} if credentials else None
        proxy = httpx.Proxy(f"http://{host}:{provider.proxy.port}", headers=headers)
    return httpx.AsyncClient(verify=context, proxy=proxy, timeout=TIMEOUT_S, trust_env=False)


def _headers(provider: Provider) -> dict[str, str]:
    headers = dict(provider.headers)
    if provider.api_key:
        headers["authorization"] = f"Bearer {provider.api_key}"
    if provider.user_agent:
        headers["user-agent"] = provider.user_agent
    return headers


def _judge(provider: Provider, wanted: set[str], response: httpx.Response) -> Probe:
    status = response.status_code
    if status in (401, 403):
        reason = "the key is refused" if provider.api_key else "it wants a key"
        return Probe(provider.name, f"{reason} (HTTP {status})", failed=True)
    if status in (404, 405):
        return Probe(provider.name, f"reached, but it has no list of models (HTTP {status})")
    if status != 200:
        return Probe(provider.name, f"HTTP {status}", failed=True)
    listed = _listed(response)
    if listed is None:
        return Probe(provider.name, "what it answers is no list of models: is base_url right?", failed=True)
    return Probe(provider.name, count(len(listed), "model"), unknown=tuple(sorted(wanted - listed)) if listed else ())


def _listed(response: httpx.Response) -> set[str] | None:
    try:
        return {str(model["id"]) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return None
