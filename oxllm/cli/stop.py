"""`oxllm stop`: SIGTERM, and waiting for the drain."""

from __future__ import annotations

import signal
from urllib.parse import urlsplit

import click

from oxllm.cli.options import Failure, gateway_options, pid_option
from oxllm.params import Finite

WAIT_S = 35.0
"""The gateway's own default limit of a drain, and some."""


@click.command(short_help="Finish what is in flight, and end.")
@gateway_options
@pid_option
@click.option(
    "--wait",
    type=Finite(0),
    metavar="SECONDS",
    default=WAIT_S,
    show_default=True,
    help="How long to wait for it.",
)
def command(url: str | None, port: int | None, pid: int | None, wait: float) -> None:
    """Let the running gateway finish what is in flight, and end.

    Exit: 0 when it has ended, 1 when it has not in time, 3 when none is running.
    """
    from oxllm.cli.client import call_json
    from oxllm.cli.find import LOCAL_HOSTS
    from oxllm.cli.signals import choose, send, wait_for_end

    gateway = choose(url, port, pid)
    number = gateway.pid
    if number is None:
        number = call_json(gateway, "GET", "/status?format=json").get("pid")
        if not isinstance(number, int) or urlsplit(gateway.url).hostname not in LOCAL_HOSTS:
            raise Failure(f"cannot tell the process of {gateway.url}: give --pid")
    send(number, signal.SIGTERM)
    if not wait_for_end(number, wait):
        raise Failure(f"process {number} is still finishing after {wait:g} s; a second stop ends it at once")
    click.echo(f"stopped (process {number})")
