"""A gateway that is not ours: any that was pointed at the simulated providers, already running or started by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import click
import httpx

from oxllm.sim.rehearsal.card import Sample
from oxllm.sim.rehearsal.gateway import ConfigError

ASK_S, WAIT_S = 0.5, 120.0
"""How often, and for how long, we check whether it answers."""


class External:
    """The gateway at a base URL. `urls`: the simulated providers' by name, which it must be configured with."""

    said = ""

    @property
    def told(self) -> str:
        """The simulated providers and their URLs, in words."""
        return ", ".join(f"{name} at {url}" for name, url in self._urls.items())

    def __init__(self, base_url: str, urls: Mapping[str, str]) -> None:
        self.base_url = base_url.rstrip("/")
        self._urls = urls

    async def start(self) -> None:
        """Wait until it answers anything at all. Raises ConfigError if it does not."""
        click.echo(f"simulated providers: {self.told}", err=True)
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            for number in range(int(WAIT_S / ASK_S)):
                try:
                    answer = await client.get(f"{self.base_url}/models")
                except httpx.HTTPError:
                    if number == 0:
                        click.echo(f"nothing answers at {self.base_url} yet; start your gateway now", err=True)
                    await asyncio.sleep(ASK_S)
                else:
                    if answer.status_code == 404 and not self.base_url.endswith("/v1"):
                        click.echo("note: /models is a 404 there; is /v1 missing at the end of --against?", err=True)
                    return
        raise ConfigError(f"nothing answers at {self.base_url}; point your gateway at {self.told}, and start it")

    async def sample(self, client: httpx.AsyncClient, at: float) -> Sample | None:
        """None: its state is unknown."""
        return None

    async def explain(self, client: httpx.AsyncClient, request_id: str) -> str:
        """Empty: it cannot explain."""
        return ""

    def stop(self) -> None:
        """Leave it running."""
