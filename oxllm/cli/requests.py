"""`oxllm requests`: the last requests, one line each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from oxllm.cli.options import Failure, gateway_options, json_option
from oxllm.params import Whole
from oxllm.terminal import reader_gone

EVERY_S = 1.0


@click.command(short_help="List the last requests, or follow them.")
@gateway_options
@click.option("-f", "--follow", is_flag=True, help="Go on as they end, until Ctrl-C.")
@click.option("--failed", is_flag=True, help="Only those that failed.")
@click.option("--model", metavar="NAME", help="Only those for this model.")
@click.option("-n", "--lines", type=Whole(0), default=20, show_default=True, help="How many at first.")
@json_option
def command(
    url: str | None, port: int | None, follow: bool, failed: bool, model: str | None, lines: int, as_json: bool
) -> None:
    """List the last requests that the gateway remembers (256), the newest last.

    `oxllm explain ID` tells more of one. Exit: 0, 3 when no gateway is running.
    """
    from oxllm.cli.client import escaped
    from oxllm.cli.find import find

    query = "".join(["&failed=1" if failed else "", f"&model={escaped(model)}" if model else ""])
    feed = _Feed(lambda: find(url, port), query)
    show = _show_json if as_json else _Table(follow).show
    show(feed.next(lines))
    try:
        while follow and not reader_gone():
            time.sleep(EVERY_S)
            show(feed.next(None))
    except KeyboardInterrupt:
        return


class _Feed:
    """The requests that have ended since the last look."""

    def __init__(self, find: Any, query: str) -> None:
        self._find = find
        self._query = query
        self._gateway = find()
        self._after = ""

    def next(self, limit: int | None) -> list[dict[str, Any]]:
        """The new ones, oldest first; none if the gateway is gone."""
        from oxllm.cli.client import call_json, escaped

        size = "" if limit is None else f"&limit={max(1, limit)}"  # at least one, so that we know what comes after it
        try:
            found = call_json(self._gateway, "GET", f"/requests?format=json{self._query}{size}{self._after}")
        except Failure:
            if not self._after and limit is not None:
                raise
            self._gateway = self._find()
            return []
        requests = [request for request in found.get("requests") or [] if isinstance(request, dict)]
        if requests:
            last = requests[-1]
            self._after = f"&after={escaped(str(last.get('id')))}&at={last.get('time')!r}"
        return requests if limit != 0 else []


def _show_json(requests: list[dict[str, Any]]) -> None:
    import json

    for request in requests:
        click.echo(json.dumps(request))


class _Table:
    """A table that grows line by line under one heading."""

    def __init__(self, follow: bool) -> None:
        """`follow`: more will come, so the heading waits for the first requests to know their widths."""
        self._waits = follow
        self._headed = False
        self._still: dict[str, int] = {}

    def show(self, requests: list[dict[str, Any]]) -> None:
        """Print these requests."""
        from oxllm.cli.screen import columns, paint, show
        from oxllm.grid import BAD, GOOD, WAIT, Column, Row, grid

        if self._waits and not requests:
            return
        titles = (
            Column("TIME", leaves=1),
            Column("STATUS"),
            Column("MODEL", number=False),
            Column("SERVED BY", number=False, leaves=4),
            Column("TRIES", leaves=3),
            Column("FIRST", leaves=5),
            Column("TOTAL", leaves=2),
            Column("ID", number=False, firm=True),
        )
        rows = []
        for request in requests:
            mood = BAD if request.get("error") else WAIT if int(request.get("attempts") or 0) > 1 else GOOD
            rows.append(Row(tuple(_cells(request)), {"STATUS": mood}))
        lines = grid(titles, rows, columns(), paint, self._still)
        show("".join(f"{line}\n" for line in (lines[1:] if self._headed else lines)))
        self._headed = True


def _cells(request: dict[str, Any]) -> Iterator[str]:
    from oxllm.words import printable, seconds

    yield time.strftime("%H:%M:%S", time.localtime(float(request.get("time") or 0)))
    yield str(request.get("status") or "---")
    yield printable(str(request.get("model")))
    provider = request.get("provider")
    yield printable(f"{provider}/{request.get('upstream_model')}") if provider else "-"
    yield str(request.get("attempts") or 0)
    first, total = request.get("first_content"), request.get("total")
    yield seconds(first) if isinstance(first, float) else "-"
    yield seconds(total) if isinstance(total, float) else "-"
    yield printable(str(request.get("id")))
