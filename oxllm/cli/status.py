"""`oxllm status`: what the running gateway is doing."""

from __future__ import annotations

import time

import click

from oxllm.cli.options import gateway_options

EVERY_S = 2.0


@click.command(short_help="Show providers, models and targets.")
@gateway_options
@click.option("--watch", is_flag=True, help=f"Again every {EVERY_S:g} s, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def command(url: str | None, port: int | None, watch: bool, as_json: bool) -> None:
    """Show providers, models and targets of the running gateway.

    Exit: 0, or 3 when none is running.
    """
    from oxllm.cli.client import call
    from oxllm.cli.find import find

    gateway = find(url, port)
    path = "/status?format=json" if as_json else "/status"
    while True:
        text = call(gateway, "GET", path).text.rstrip("\n")
        if watch and not as_json:
            click.clear()
        click.echo(text)
        if not watch:
            return
        try:
            time.sleep(EVERY_S)
        except KeyboardInterrupt:
            return
