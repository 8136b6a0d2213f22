"""`oxllm status`: what the running gateway is doing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from oxllm.cli.options import Failure, Leaving, gateway_options, json_option

if TYPE_CHECKING:
    from oxllm.cli.find import Gateway
    from oxllm.status import Status

    Seen = tuple[str, Status]
    """A status as received, with anything that a later release may have added, and as decoded."""

EVERY_S = 2.0
TIMEOUT_S = 5.0
"""The gateway answers this from memory, so one that takes longer hangs."""
JSON = "/status?format=json"
UNKNOWN = 3
"""Exit code of `--check` if the state is unknown, as for monitoring plugins."""


@click.command(short_help="Show providers, models and targets.")
@gateway_options
@click.option("--watch", is_flag=True, help=f"Draw it again every {EVERY_S:g} s, with rates, until q; keys act.")
@click.option("--check", is_flag=True, help="One line, and an exit code for monitors.")
@json_option
def command(url: str | None, port: int | None, watch: bool, check: bool, as_json: bool) -> None:
    """Show providers, models and targets of the running gateway.

    Exit: 0, or 3 when none is running. With --check: 0 all models are served and nothing is out, 1 something is
    out, 2 a model has no target left, 3 not running or not to be asked. --watch waits for one that is gone to come
    back; its keys: j/k or arrows choose a provider, Enter shows its last failures, o takes it offline or back, r
    resets it, q ends.
    """
    from oxllm.cli.find import find
    from oxllm.cli.screen import columns, paint, show
    from oxllm.table import table

    gateway = find(url, port)
    if check:
        raise SystemExit(_check(gateway, as_json))
    first = _ask(gateway)
    if watch:
        _watch(first, gateway, url, port, as_json)
    elif as_json:
        show(f"{first[0]}\n")
    else:
        show(table(first[1], columns(), paint))


def _check(gateway: Gateway, as_json: bool) -> int:
    from oxllm.cli.screen import show
    from oxllm.verdict import verdict

    try:
        status = _ask(gateway)[1]
    except Failure as failure:
        level, line = UNKNOWN, failure.message
    else:
        said = verdict(status)
        level, line = said.level, said.line(None)
    if as_json:
        import json

        line = json.dumps({"level": level, "verdict": line})
    show(f"{line}\n")
    return level


def _ask(gateway: Gateway) -> Seen:
    """Its status. Raises NotRunning if nothing or something else answers, Failure if it refuses us."""
    import msgspec

    from oxllm.cli.client import call, not_oxllm
    from oxllm.status import Status

    try:
        response = call(gateway, "GET", JSON, TIMEOUT_S)
    except Leaving as leaving:
        return _seen(leaving)
    try:
        return response.text, msgspec.json.decode(response.text, type=Status)
    except msgspec.DecodeError:
        raise not_oxllm(gateway, response) from None


def _seen(leaving: Leaving) -> Seen:
    """The status of a draining gateway from its run file: its listener is closed, so it cannot be asked."""
    import msgspec

    from oxllm.status import Status

    run, draining, now = leaving.run, leaving.draining, time.time()
    status = Status(
        version=run.version,
        pid=run.pid,
        uptime=now - run.started,
        draining=True,
        drain_left=max(0.0, draining.until - now),
        config=run.config,
        in_flight=draining.requests,
    )
    return msgspec.json.encode(status).decode(), status


class _Again:
    """Asks repeatedly. After a failure the gateway is looked up again, since it may come back on another port."""

    def __init__(self, gateway: Gateway, url: str | None, port: int | None) -> None:
        self.gateway = gateway
        self._choice = (url, port)
        self._failed = False

    def seen(self) -> Seen | Failure:
        """Its status, or why there is none."""
        from oxllm.cli.find import find

        try:
            if self._failed:
                self.gateway = find(*self._choice)
            seen = _ask(self.gateway)
        except Failure as failure:
            self._failed = True
            return failure
        self._failed = False
        return seen

    def status(self) -> Status | Failure:
        """The same, decoded only."""
        seen = self.seen()
        return seen if isinstance(seen, Failure) else seen[1]


def _watch(first: Seen, gateway: Gateway, url: str | None, port: int | None, as_json: bool) -> None:
    again = _Again(gateway, url, port)
    if as_json:
        _watch_json(first, again)
    else:
        from oxllm.cli.watch import Watch

        Watch(lambda: again.gateway, again.status, EVERY_S).run(first[1])


def _watch_json(first: Seen, again: _Again) -> None:
    """Print one line each time; none while no gateway answers."""
    from oxllm.cli.screen import show

    answer: Seen | Failure = first
    try:
        while True:
            if not isinstance(answer, Failure):
                show(f"{answer[0]}\n")
            time.sleep(EVERY_S)
            answer = again.seen()
    except KeyboardInterrupt:
        return
