"""`oxllm provider`: the operator's overrides."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import click

from oxllm.cli.options import Failure, gateway_options


@click.group(short_help="List providers, take one out, put it back.")
def command() -> None:
    """List providers; take one out, put it back, or forget its failures.

    Exit: 0, 1 when there is no such provider, 3 when no gateway is running.
    """


@command.command(name="list")
@gateway_options
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def list_(url: str | None, port: int | None, as_json: bool) -> None:
    """Show each provider and its state."""
    from oxllm.cli.client import call_json
    from oxllm.cli.find import find

    answer = call_json(find(url, port), "GET", "/status?format=json")
    providers = answer.get("providers") or []
    if as_json:
        import json

        click.echo(json.dumps(providers, indent=2))
        return
    width = max((len(provider["name"]) for provider in providers), default=0)
    for provider in providers:
        click.echo(f"{provider['name']:<{width}}  {provider['state']:<9}  {provider.get('base_url', '')}".rstrip())


def _verb(verb: str, summary: str, done: str) -> Callable[..., None]:
    @command.command(name=verb, help=summary)
    @gateway_options
    @click.argument("name")
    def act(url: str | None, port: int | None, name: str) -> None:
        from oxllm.cli.client import call, error_message
        from oxllm.cli.find import find

        response = call(find(url, port), "POST", f"/admin/providers/{quote(name, safe='')}/{verb}")
        if response.status_code != 200:
            raise Failure(error_message(response))
        click.echo(f"{name} {done}")

    return act


offline = _verb("offline", "Send it no more requests; what it is serving is finished.", "is offline")
online = _verb("online", "End `offline`.", "is online")
reset = _verb("reset", "Close its breaker; forget its cooldowns and marks.", "is reset")
