"""`oxllm explain`: what became of one request."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from oxllm.cli.completing import request_argument
from oxllm.cli.options import Failure, gateway_options, json_option

if TYPE_CHECKING:
    from oxllm.cli.find import Gateway


@click.command(short_help="Show what became of a recent request.")
@gateway_options
@json_option
@click.option("--last", is_flag=True, help="The last one that ended.")
@click.option("--last-failed", is_flag=True, help="The last one that failed.")
@request_argument
def command(
    url: str | None, port: int | None, as_json: bool, last: bool, last_failed: bool, request_id: str | None
) -> None:
    """Show each attempt of a recent request: target, timings, outcome, and why others were skipped.

    REQUEST_ID is the x-request-id of its response; `oxllm requests` lists them. The last 256 requests are known.
    Exit: 0, 1 when it is not among them, 3 when no gateway is running.
    """
    from oxllm.cli.client import call, error_message, segment
    from oxllm.cli.find import find

    if sum((bool(request_id), last, last_failed)) != 1:
        raise click.UsageError("give one of REQUEST_ID, --last and --last-failed")
    gateway = find(url, port)
    wanted = request_id or _last(gateway, last_failed)
    path = f"/explain/{segment(wanted)}?format={'json' if as_json else 'text'}"
    response = call(gateway, "GET", path)
    if response.status_code != 200:
        raise Failure(error_message(response))
    click.echo(response.text.rstrip("\n"))


def _last(gateway: Gateway, failed: bool) -> str:
    from oxllm.cli.client import call_json

    found = call_json(gateway, "GET", f"/requests?limit=1{'&failed=1' if failed else ''}").get("requests")
    if not found:
        raise Failure(
            "no request has failed yet, as far back as it remembers" if failed else "no request has ended yet"
        )
    return str(found[-1].get("id"))
