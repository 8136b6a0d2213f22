"""`oxllm stop`: sends SIGTERM, and waits for the drain."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import click

from oxllm.cli.options import Failure, gateway_options, pid_option
from oxllm.params import Finite
from oxllm.words import draining

if TYPE_CHECKING:
    from oxllm.cli.find import Gateway
    from oxllm.cli.signals import Process

MARGIN_S = 5.0
"""Beyond the gateway's own drain timeout, for its last error events, spans and exit."""
DRAIN_S = 30.0
"""The drain timeout if no run file tells it."""
SEEN_WITHIN_S = 5.0
"""How long a gateway may take to report that it is draining."""
LOOK_S = 0.1


@click.command(short_help="Finish what is in flight, and end.")
@gateway_options
@pid_option
@click.option(
    "--wait",
    type=Finite(0),
    metavar="SECONDS",
    help=f"How long to wait for it. Default: as long as it drains at most, and {MARGIN_S:g} s.",
)
@click.option("--now", is_flag=True, help="Cut what is in flight: streams get an error event, the rest a 503.")
def command(url: str | None, port: int | None, pid: int | None, wait: float | None, now: bool) -> None:
    """Let the running gateway finish what is in flight, and end.

    One that is stopping already is only waited for. Exit: 0 when it has ended, 1 when it has not in time, 3 when
    none is running.
    """
    from oxllm.cli.signals import choose, process_of

    gateway = choose(url, port, pid)
    with process_of(gateway, pid) as process:
        if not _is_draining(gateway):
            process.send(signal.SIGTERM)
            if now:
                _await_draining(gateway, process)
        else:
            click.echo(f"already {_left(gateway)}; waiting for it", err=True)
        if now:
            process.send(signal.SIGTERM)
        limit = wait if wait is not None else (gateway.run.drain_s if gateway.run else DRAIN_S) + MARGIN_S
        if not process.has_ended(limit):
            from oxllm.cli.find import frozen

            advice = frozen(process.pid) or (f"`kill -9 {process.pid}` ends it" if now else "--now cuts what is left")
            raise Failure(f"after {limit:g} s process {process.pid} is still {_left(gateway)}; {advice}")
    click.echo(f"stopped (process {process.pid})")


def _is_draining(gateway: Gateway) -> bool:
    from oxllm.cli.find import again

    run = again(gateway)
    return run is not None and run.draining is not None


def _await_draining(gateway: Gateway, process: Process) -> None:
    """Wait until the first signal was handled: a second one before that would be merged with it."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while not _is_draining(gateway) and time.monotonic() < deadline:
        if process.has_ended(LOOK_S) or gateway.run is None:
            return


def _left(gateway: Gateway) -> str:
    """`draining, 1 request left, 12 s to go`."""
    from oxllm.cli.find import again

    run = again(gateway)
    if run is None or run.draining is None:
        return "finishing"
    return f"{draining(run.draining.requests, run.draining.until - time.time())} to go"
