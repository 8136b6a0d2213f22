"""`oxllm report-bug`: what a bug report needs, without secrets."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import click

from oxllm.cli.options import Failure, config_option, gateway_options

PACKAGES = ("httptools", "msgspec", "pydantic", "click", "httpx", "starlette", "uvicorn", "pyyaml")
REQUESTS_MAX = 20


@click.command(short_help="Collect what a bug report needs, without secrets.")
@gateway_options
@config_option
def command(url: str | None, port: int | None, config: str | None) -> None:
    """Print versions, the configuration, the gateway's status and its last failures: what a report of a bug needs.

    No key, no header's value, no prompt and no answer is in it. Names of providers and models are: read it before
    you send it. Exit: 0, also when no gateway is running.
    """
    click.echo("\n".join(_sections(url, port, config)))


def _sections(url: str | None, port: int | None, config: str | None) -> Iterator[str]:
    from oxllm import __version__

    yield f"oxllm {__version__}, {platform.python_implementation()} {platform.python_version()}"
    yield f"{platform.platform()}, {', '.join(_versions())}"
    yield "\n## Configuration\n"
    yield from _configuration(config)
    yield "\n## Gateway\n"
    yield from _gateway(url, port)


def _versions() -> Iterator[str]:
    for name in PACKAGES:
        try:
            yield f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            yield f"{name} is missing"
    yield sys.platform


def _configuration(config: str | None) -> Iterator[str]:
    from oxllm.cli.options import read_config

    try:
        loaded = read_config(config)
    except Failure as failure:
        yield failure.message
        return
    for problem in (*loaded.errors, *loaded.warnings):
        yield str(problem)
    if loaded.plan is not None:
        import msgspec

        yield json.dumps(_without_secrets(msgspec.to_builtins(loaded.plan)), indent=1)


HIDDEN = ("api_key", "api_keys", "admin_token", "headers", "user_agent", "extra_body", "authorization")


def _without_secrets(value: Any) -> Any:
    """The value with everything that may be secret replaced by ***; empty ones and the names of headers are kept."""
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _hidden(item) if key in HIDDEN else _without_secrets(item) for key, item in value.items()}


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(value, "***")
    if isinstance(value, list | tuple):
        return [[item[0], "***"] if isinstance(item, list | tuple) and len(item) == 2 else "***" for item in value]
    return "***" if value else value


def _gateway(url: str | None, port: int | None) -> Iterator[str]:
    from oxllm.cli.client import call, call_json
    from oxllm.cli.find import find

    try:
        gateway = find(url, port)
        yield call(gateway, "GET", "/status?format=text").text
        failed = call_json(gateway, "GET", f"/requests?failed=1&limit={REQUESTS_MAX}").get("requests") or []
    except Failure as failure:
        yield failure.message
        return
    yield f"## The last {REQUESTS_MAX} requests that failed\n"
    yield from (json.dumps(request) for request in failed)
