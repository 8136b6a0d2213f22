"""`oxllm provider`: the operator's overrides."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from oxllm.cli.completing import provider_argument
from oxllm.cli.options import Failure, gateway_options, json_option


@click.group(short_help="List providers, take one out, put it back.")
def command() -> None:
    """List providers; take one out, put it back, or forget its failures.

    Exit: 0, 1 when there is no such provider, 3 when no gateway is running.
    """


def _duration(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h|d)?", value) if value is not None else None
    if value is not None and (found is None or not 0 < float(found[1]) < 1e6):
        raise click.BadParameter(f"{value!r} is no time: write 90s, 10m or 2h", ctx, param)
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2] or "s"] if found else None


@command.command(name="list")
@gateway_options
@json_option
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
    from oxllm.grid import OFF, Column, Row, grid
    from oxllm.status import Status
    from oxllm.table import provider_state
    from oxllm.words import printable

    status = msgspec.convert(answer, Status)
    rows = []
    for provider in status.providers:
        state, mood = provider_state(provider)
        rows.append(Row((printable(provider.name), state, printable(provider.base_url)), {"STATE": mood}))
    rows += [Row((printable(name), "disabled", ""), {"STATE": OFF}) for name in status.disabled]
    titles = [Column(title, number=False) for title in ("PROVIDER", "STATE", "BASE URL")]
    show("".join(f"{line}\n" for line in grid(titles, rows, columns(), paint)))


@command.command()
@gateway_options
@click.option("--for", "for_", metavar="TIME", callback=_duration, help="Bring it back after 90s, 10m or 2h.")
@provider_argument
def offline(url: str | None, port: int | None, for_: float | None, name: str) -> None:
    """Send it no more requests; what it is serving is finished."""
    from oxllm.words import duration

    _ask(url, port, name, "offline" if for_ is None else f"offline?for={for_:g}")
    click.echo(f"{name} is offline" + ("" if for_ is None else f" for {duration(for_)}"))


def _ask(url: str | None, port: int | None, name: str, what: str) -> None:
    from oxllm.cli.client import call, error_message, greet, segment
    from oxllm.cli.find import find

    gateway = find(url, port)
    greet(gateway)
    response = call(gateway, "POST", f"/admin/providers/{segment(name)}/{what}")
    if response.status_code != 200:
        raise Failure(error_message(response))
    for warning in response.json().get("warnings") or []:
        click.echo(f"warning: {warning}", err=True)


def _verb(verb: str, summary: str, done: str) -> Callable[..., None]:
    @command.command(name=verb, help=summary)
    @gateway_options
    @provider_argument
    def act(url: str | None, port: int | None, name: str) -> None:
        _ask(url, port, name, verb)
        click.echo(f"{name} {done}")

    return act


online = _verb("online", "End `offline`.", "is online")
reset = _verb("reset", "Close its breaker; forget its cooldowns and marks.", "is reset")
