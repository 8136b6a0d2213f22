"""`oxllm explain`: what became of one request."""

from __future__ import annotations

from urllib.parse import quote

import click

from oxllm.cli.options import Failure, gateway_options


@click.command(short_help="Show what became of a recent request.")
@gateway_options
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
@click.argument("request_id")
def command(url: str | None, port: int | None, as_json: bool, request_id: str) -> None:
    """Show each attempt of a recent request: target, timings, outcome, and why others were skipped.

    REQUEST_ID is the x-request-id of its response. The last 256 requests are known. Exit: 0, 1 when it is not
    among them, 3 when no gateway is running.
    """
    from oxllm.cli.client import call, error_message
    from oxllm.cli.find import find

    path = f"/explain/{quote(request_id, safe='')}?format={'json' if as_json else 'text'}"
    response = call(find(url, port), "GET", path)
    if response.status_code != 200:
        raise Failure(error_message(response))
    click.echo(response.text.rstrip("\n"))
