"""The gateway of a rehearsal: the user's own config with simulated providers in place of the real ones, in a child.

The config is read by `python -m oxllm.config.compile` and served by `python -m oxllm.gateway`, as `oxllm serve` does;
nothing of either is imported here. No real key is handed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from oxllm import plan as plans
from oxllm.plan import Plan, Provider, Server

from .grade import Sample
from .pace import Pace
from .scenario import Upstream

READY_S = 20.0
STOP_S = 10.0
_DIALECTS = {"azure": "azure", "anthropic": "anthropic", "groq": "groq", "openrouter": "openrouter", "11434": "ollama"}


class ConfigError(ValueError):
    """The user's config cannot be rehearsed; the text is for the user."""


def compiled(file: Path) -> Plan:
    """The plan of the user's config. Raises ConfigError with all that is wrong."""
    command = [sys.executable, "-P", "-m", "oxllm.config.compile", str(file)]
    child = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - our own interpreter
    if child.returncode == 0:
        return plans.decode(child.stdout)
    try:
        errors = msgspec.json.decode(child.stdout)["errors"]
    except (msgspec.DecodeError, KeyError, TypeError):
        raise ConfigError(f"{file}: cannot be read; run oxllm validate -c {file}") from None
    raise ConfigError("\n".join(str(error.get("text") or error.get("message")) for error in errors))


def upstreams(plan: Plan, speed: Pace) -> tuple[Upstream, ...]:
    """A simulated provider for each of the plan's, speaking the dialect that its address suggests."""
    targets = [target for model in plan.virtual_models for target in model.targets]
    found = []
    for provider in plan.providers:
        served = [target.model for target in targets if target.provider == provider.name]
        models = tuple(dict.fromkeys([*provider.models, *served])) or ("sim-1",)
        found.append(Upstream(provider.name, _dialect(provider), models, speed))
    return tuple(found)


def groups(plan: Plan) -> dict[str, list[str]]:
    """Virtual model -> its providers in order of preference, each once."""
    return {
        model.name: list(dict.fromkeys(target.provider for target in sorted(model.targets, key=lambda t: t.tier)))
        for model in plan.virtual_models
        if model.targets
    }


def _dialect(provider: Provider) -> str:
    address = f"{provider.host}:{provider.port}"
    return next((dialect for part, dialect in _DIALECTS.items() if part in address), "openai")


def rewired(plan: Plan, urls: Mapping[str, str], port: int) -> Plan:
    """The plan with its providers at `urls` and itself on a loopback port, without keys, proxies and telemetry."""
    replace = msgspec.structs.replace
    server = replace(
        plan.server, host="127.0.0.1", port=port, bind_family="ipv4", listen=("127.0.0.1",), otel_endpoint=None,
        api_keys=(), admin_token=None, admin_allow=Server().admin_allow, drain_delay=0.0,
    )  # fmt: skip
    providers = []
    for provider in plan.providers:
        to = urlsplit(urls[provider.name])
        where = {"tls": False, "host": to.hostname, "port": to.port, "path": to.path}
        providers.append(replace(provider, **where, api_key=None, headers=(), proxy=None, ca_file=None))
    return replace(plan, server=server, providers=tuple(providers), source=None)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Gateway:
    """A gateway in a child process."""

    def __init__(self, command: Sequence[str], port: int, plan: Plan | None = None) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._command = command
        self._plan = plan
        self._root = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self.said = ""
        """The end of what it printed, once it has stopped."""

    @classmethod
    def of(cls, plan: Plan) -> Gateway:
        """The real one, for a plan that `rewired` made."""
        return cls((sys.executable, "-P", "-m", "oxllm.gateway", "--log-format", "json"), plan.server.port, plan)

    async def start(self) -> None:
        """Start it and wait until it answers. Raises ConfigError with what it said if it does not."""
        if self._plan is not None:
            with tempfile.TemporaryFile() as file:
                file.write(plans.encode(self._plan))
                file.seek(0)
                self._spawn([*self._command, "--plan-fd", str(file.fileno())], (file.fileno(),))
        else:
            self._spawn(self._command, ())
        async with httpx.AsyncClient(trust_env=False) as client:
            for _ in range(int(READY_S / 0.1)):
                if self._process.poll() is not None:
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{self._root}/health")).status_code == 200:
                        return
                await asyncio.sleep(0.1)
        self.stop()
        raise ConfigError(f"the gateway did not start:\n{self.said}")

    def _spawn(self, command: Sequence[str], passed: tuple[int, ...]) -> None:
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=passed, env=environment
        )

    async def sample(self, client: httpx.AsyncClient, at: float) -> Sample | None:
        """Its state now, or None if it does not tell."""
        try:
            answer = await client.get(f"{self._root}/status", params={"format": "json"})
            state: dict[str, Any] = answer.json()
            providers = state["providers"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        states = {provider["name"]: provider["state"] for provider in providers}
        left = {provider["name"]: provider["seconds_left"] or 0.0 for provider in providers}
        return Sample(at, states, left, state.get("memory_bytes"))

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it takes too long."""
        if self._log.closed:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.seek(0)
        self.said = self._log.read().decode(errors="replace")[-2000:]
        self._log.close()
