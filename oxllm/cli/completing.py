"""Shell completion of arguments, with names that the running gateway knows; none if it cannot be asked."""

from __future__ import annotations

import contextlib
from typing import Any

import click

TIMEOUT_S = 1.0


def provider_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Providers of the gateway that the command line so far refers to."""
    providers = _answer(ctx, "/status?format=json").get("providers") or []
    return [name for provider in providers if (name := str(provider.get("name"))).startswith(incomplete)]


def request_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of its last requests, the newest first."""
    requests = _answer(ctx, "/requests").get("requests") or []
    return [name for request in reversed(requests) if (name := str(request.get("id"))).startswith(incomplete)]


def _answer(ctx: click.Context, path: str) -> dict[str, Any]:
    from oxllm.cli.client import call
    from oxllm.cli.find import find

    with contextlib.suppress(click.ClickException, ValueError):
        answer = call(find(ctx.params.get("url"), ctx.params.get("port")), "GET", path, TIMEOUT_S).json()
        return answer if isinstance(answer, dict) else {}
    return {}


provider_argument = click.argument("name", shell_complete=provider_names)
request_argument = click.argument("request_id", required=False, shell_complete=request_ids)
