"""The gateway of a rehearsal: a child process with the user's config, and simulated providers instead of real ones.

The config is compiled by `python -m oxllm.config.compile` and served by `python -m oxllm.gateway`, as in `oxllm serve`;
neither is imported here. No real key is passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from oxllm import launch
from oxllm import plan as plans
from oxllm.plan import ANY, PROTOCOLS, Plan, Server, Target
from oxllm.sim import dialects
from oxllm.sim.provider.pace import Pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal import leash as leashes
from oxllm.sim.rehearsal.card import Sample
from oxllm.sim.rehearsal.question import askable, lane

IN = frozenset({"closed", "half-open"})
"""Breaker states that let a request through."""
STAND_IN = "rehearsal"
"""Value given to an unset environment variable."""
READY_S = 20.0


class ConfigError(ValueError):
    """The user's config cannot be rehearsed; the text is for the user. `unset`: missing environment variables."""

    def __init__(self, text: str, unset: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.unset = unset


def compiled(file: Path) -> tuple[Plan, list[str]]:
    """The plan of the user's config, and the unset variables that got a stand-in: a rehearsal needs no keys, so it can
    run without them. Raises ConfigError with all errors."""
    found = first = _compile(file, {})
    stand_ins: dict[str, str] = {}
    while isinstance(found, ConfigError):
        missing = [name for name in found.unset if name not in stand_ins]
        if not missing:
            raise first if isinstance(first, ConfigError) else found
        stand_ins |= dict.fromkeys(missing, STAND_IN)
        found = _compile(file, stand_ins)
    return found, list(stand_ins)


def _compile(file: Path, stand_ins: Mapping[str, str]) -> Plan | ConfigError:
    command = [sys.executable, "-P", "-m", "oxllm.config.compile", "--without-files", str(file)]
    environment = {**os.environ, **stand_ins}
    child = subprocess.run(command, capture_output=True, check=False, env=environment)  # noqa: S603 - our interpreter
    if child.returncode == 0:
        return plans.decode(child.stdout)
    try:
        said = msgspec.json.decode(child.stdout)
        return ConfigError("\n".join(str(error["text"]) for error in said["errors"]), said["unset"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return ConfigError(f"{file}: cannot be read; run oxllm validate -c {file}")


def upstreams(plan: Plan, speed: Pace) -> tuple[Upstream, ...]:
    """A simulated provider for each of the plan's, with the dialect that its address suggests."""
    targets = [target for model in plan.virtual_models for target in model.targets]
    found = []
    for provider in plan.providers:
        served = [target.model for target in targets if target.provider == provider.name]
        models = tuple(dict.fromkeys([*provider.models, *served])) or ("sim-1",)
        found.append(Upstream(provider.name, dialects.suggested(f"{provider.host}:{provider.port}"), models, speed))
    return tuple(found)


class Route(msgspec.Struct, frozen=True):
    """A name that clients may use, the providers behind it (in order of preference, each once), their models, and for
    each protocol the providers that speak it."""

    name: str
    providers: tuple[str, ...]
    models: tuple[str, ...]
    spoken: dict[str, tuple[str, ...]]

    @property
    def lanes(self) -> dict[str, tuple[str, ...]]:
        """The name in each protocol that it is asked in -> the providers that speak it."""
        asked = askable(self.models, tuple(self.spoken))
        return {lane(self.name, protocol): self.spoken[protocol] for protocol in asked}


def virtual(plan: Plan) -> list[Route]:
    """The virtual models that have a target."""
    return [
        _route(plan, model.name.replace(ANY, STAND_IN), sorted(model.targets, key=_tier))
        for model in plan.virtual_models
        if model.targets
    ]


def contested(groups: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The groups that chaos leaves a refuge: those of several providers, and those of a single one that is in no group
    of several."""
    found = list(dict.fromkeys(map(tuple, groups)))
    several = {name for group in found if len(group) > 1 for name in group}
    return [group for group in found if len(group) > 1 or group[0] not in several]


def direct(plan: Plan) -> list[Route]:
    """Every `provider/model` that a provider lists, except those shadowed by the name of a virtual model."""
    hidden = {model.name for model in plan.virtual_models}
    names = [(provider.name, model) for provider in plan.providers for model in provider.models]
    targets = [(f"{name}/{model}", Target(name, model)) for name, model in names]
    return [_route(plan, name, [target]) for name, target in targets if name not in hidden]


def _route(plan: Plan, name: str, targets: Sequence[Target]) -> Route:
    providers = tuple(dict.fromkeys(target.provider for target in targets))
    models = tuple(dict.fromkeys(target.model for target in targets))
    speaks = {provider.name: provider.protocols for provider in plan.providers}
    spoken = {each: tuple(name for name in providers if each in speaks[name]) for each in PROTOCOLS}
    return Route(name, providers, models, {protocol: names for protocol, names in spoken.items() if names})


def _tier(target: Target) -> int:
    return target.tier


def rewired(plan: Plan, urls: Mapping[str, str], port: int) -> Plan:
    """The plan with its providers at `urls` and itself on a loopback port, without keys, proxies and telemetry, and
    without `extra_body`, which could change answers so that they are not recognised as whole."""
    replace = msgspec.structs.replace
    server = replace(
        plan.server, host="127.0.0.1", port=port, bind_family="ipv4", listen=("127.0.0.1",), otel_endpoint=None,
        api_keys=(), admin_token=None, admin_allow=Server().admin_allow, drain_delay=0.0,
    )  # fmt: skip
    providers = []
    for provider in plan.providers:
        to = urlsplit(urls[provider.name])
        where = {"tls": False, "host": to.hostname, "port": to.port, "path": to.path}
        providers.append(replace(provider, **where, api_key=None, headers=(), extra_body={}, proxy=None, ca_file=None))
    return replace(plan, server=server, providers=tuple(providers), source=None)


class Gateway:
    """A gateway in a child process."""

    def __init__(self, command: Sequence[str], port: int, plan: Plan | None = None) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self._command = command
        self._plan = plan
        self._root = f"http://127.0.0.1:{port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop()
        self._directory = tempfile.TemporaryDirectory(prefix="oxllm-rehearsal-")
        self.said = ""
        """The end of its output, once it has stopped."""

    @classmethod
    def of(cls, plan: Plan) -> Gateway:
        """The real gateway, for a plan made by `rewired`."""
        return cls((), plan.server.port, plan)

    async def start(self) -> None:
        """Start it and wait until it answers. If it does not, raises ConfigError with its output."""
        if self._plan is not None:
            fd = launch.plan_fd(self._plan)
            try:
                self._spawn(launch.command(fd, "json"), (fd,))
            finally:
                os.close(fd)
        else:
            self._spawn(self._command, ())
        assert self._process is not None
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
        """Start it on a leash, so that it ends with us however we end; in its own process group, since Ctrl-C is for
        the rehearsal; with its run file where `oxllm status` and `oxllm stop` do not look."""
        environment = {**os.environ, "RUNTIME_DIRECTORY": self._directory.name}
        environment |= launch.environment(environment)
        leash = [sys.executable, "-P", "-m", leashes.__name__, self._directory.name]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [*leash, *command], stdin=subprocess.PIPE, stdout=self._log, stderr=self._log, pass_fds=passed,
            env=environment, process_group=0,
        )  # fmt: skip

    async def sample(self, client: httpx.AsyncClient, at: float) -> Sample | None:
        """Its state now, or None if it does not say."""
        try:
            answer = await client.get(f"{self._root}/status", params={"format": "json"})
            state: dict[str, Any] = answer.json()
            providers = state["providers"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        states = {provider["name"]: provider["state"] for provider in providers}
        left = {provider["name"]: provider["seconds_left"] or 0.0 for provider in providers}
        out = frozenset(one["name"] for one in providers if one["state"] not in IN or one.get("marks"))
        return Sample(at, states, left, state.get("memory_bytes"), out)

    async def explain(self, client: httpx.AsyncClient, request_id: str) -> str:
        """What it says about a request, "" if nothing."""
        try:
            answer = await client.get(f"{self._root}/explain/{request_id}")
        except httpx.HTTPError:
            return ""
        return answer.text.strip() if answer.status_code == 200 else ""

    def stop(self) -> None:
        """Stop it by closing the leash: SIGTERM, then SIGKILL if it takes too long."""
        if self._log.closed:
            return
        if self._process is not None:
            self._end(self._process)
        self._log.seek(0)
        self.said = self._log.read().decode(errors="replace")[-2000:]
        self._log.close()
        self._directory.cleanup()

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None, "it is a pipe"
        process.stdin.close()
        process.wait(leashes.STOP_S * 2)
