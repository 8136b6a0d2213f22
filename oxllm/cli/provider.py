"""`oxllm provider`: the operator's overrides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
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
    if as_json:
        import json

        click.echo(json.dumps(answer.get("providers") or [], indent=2))
    else:
        _print(answer)


def _print(answer: dict[str, Any]) -> None:
    import msgspec

    from oxllm.cli.screen import columns, paint, show
    from oxllm.status import Status
    from oxllm.table import OFF, Column, Row, grid, provider_state
    from oxllm.words import printable

    status = msgspec.convert(answer, Status)
    rows = []
    for provider in status.providers:
        state, mood = provider_state(provider)
        rows.append(Row((printable(provider.name), state, printable(provider.base_url)), {"STATE": mood}))
    rows += [Row((printable(name), "disabled", ""), {"STATE": OFF}) for name in status.disabled]
    titles = [Column(title, number=False) for title in ("PROVIDER", "STATE", "BASE URL")]
    show("".join(f"{line}\n" for line in grid(titles, rows, columns(), paint)))


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
