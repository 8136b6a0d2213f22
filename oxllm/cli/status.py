"""`oxllm status`: what the running gateway is doing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from oxllm.cli.options import Failure, NotRunning, gateway_options

if TYPE_CHECKING:
    from oxllm.cli.find import Gateway
    from oxllm.status import Status

    Seen = tuple[str, Status]
    """A status as it came, with all that a later release may have put into it, and as we understand it."""

EVERY_S = 2.0
TIMEOUT_S = 5.0
"""The gateway answers this from memory: one that takes longer hangs."""
JSON = "/status?format=json"


@click.command(short_help="Show providers, models and targets.")
@gateway_options
@click.option("--watch", is_flag=True, help=f"Draw it again every {EVERY_S:g} s, with rates, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
def command(url: str | None, port: int | None, watch: bool, as_json: bool) -> None:
    """Show providers, models and targets of the running gateway.

    Exit: 0, or 3 when none is running. --watch waits for one that is gone to come back.
    """
    from oxllm.cli.find import find
    from oxllm.cli.screen import columns, paint, show
    from oxllm.table import table

    gateway = find(url, port)
    first = _ask(gateway)
    if watch:
        statuses = _again(first, gateway, url, port)
        _watch_json(statuses) if as_json else _watch(statuses)
    elif as_json:
        show(f"{first[0]}\n")
    else:
        show(table(first[1], columns(), paint))


def _ask(gateway: Gateway) -> Seen:
    """Its status. NotRunning when nothing or something else answers, Failure when we are not let in."""
    import msgspec

    from oxllm.cli.client import call, not_oxllm
    from oxllm.status import Status

    try:
        response = call(gateway, "GET", JSON, TIMEOUT_S)
    except NotRunning:
        if (leaving := _leaving(gateway)) is not None:
            return leaving
        raise
    try:
        return response.text, msgspec.json.decode(response.text, type=Status)
    except msgspec.DecodeError:
        raise not_oxllm(gateway, response) from None


def _leaving(gateway: Gateway) -> Seen | None:
    """What the run file says of a gateway that drains: its listener is closed, so it cannot be asked."""
    import msgspec

    from oxllm.cli.find import again
    from oxllm.status import Status

    run = again(gateway)
    if run is None or run.draining is None:
        return None
    now = time.time()
    status = Status(
        version=run.version,
        pid=run.pid,
        uptime=now - run.started,
        draining=True,
        drain_left=max(0.0, run.draining.until - now),
        config=run.config,
        in_flight=run.draining.requests,
    )
    return msgspec.json.encode(status).decode(), status


def _again(first: Seen, gateway: Gateway, url: str | None, port: int | None) -> Iterator[Seen | Failure]:
    """Its status every two seconds, or why there is none. One that comes back may be at another port."""
    from oxllm.cli.find import find

    answer: Seen | Failure = first
    while True:
        yield answer
        time.sleep(EVERY_S)
        try:
            if isinstance(answer, Failure):
                gateway = find(url, port)
            answer = _ask(gateway)
        except Failure as failure:
            answer = failure


def _watch(statuses: Iterator[Seen | Failure]) -> None:
    """Until Ctrl-C."""
    from oxllm.cli.fitting import fitting
    from oxllm.cli.screen import Screen, columns, lines, paint
    from oxllm.table import BAD, OFF, table
    from oxllm.words import duration

    earlier: Status | None = None
    gone_at = 0.0
    with Screen() as screen:
        try:
            for answer in statuses:
                if not isinstance(answer, Failure):
                    shown, note = fitting(answer[1], lines())
                    page = table(shown, columns(), paint, earlier) + note
                    earlier, gone_at = answer[1], 0.0
                else:
                    gone_at = gone_at or time.monotonic() - EVERY_S
                    since = duration(time.monotonic() - gone_at)
                    page = paint(f"{answer.message}, for {since} now; the last that was seen:", BAD) + "\n"
                    page += "" if earlier is None else table(earlier, columns(), lambda text, _: paint(text, OFF))
                screen.draw(page)
        except KeyboardInterrupt:
            return


def _watch_json(statuses: Iterator[Seen | Failure]) -> None:
    """A line each; none while there is no gateway."""
    from oxllm.cli.screen import show

    try:
        for answer in statuses:
            if not isinstance(answer, Failure):
                show(f"{answer[0]}\n")
    except KeyboardInterrupt:
        return
