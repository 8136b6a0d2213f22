"""`oxllm sim` in the foreground: serve until the time is up or a signal comes, and show how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from . import show, strip
from .control import control
from .live import Live
from .scenario import Scenario
from .tls import Authority, NoTls

REDRAW_S = 0.25


def authority(tls: bool, scenario: Scenario) -> Authority | None:
    kinds = {dosed.fault.kind for scene in scenario.scenes for dosed in scene.faults}
    if not tls and kinds & {"tls-expired", "tls-abort"}:
        raise click.UsageError("the scenes have TLS faults; give --tls")
    try:
        return Authority() if tls else None
    except NoTls as error:
        raise click.ClickException(str(error)) from None


class Runner:
    """One run in the foreground."""

    def __init__(
        self,
        scenario: Scenario,
        host: str,
        port: int,
        authority: Authority | None,
        duration: float | None,
        write_config: Path | None,
    ) -> None:
        self._scenario = scenario
        self._host = host
        self._port = port
        self._authority = authority
        self._duration = duration
        self._write_config = write_config

    def run_until_done(self) -> None:
        """`run`, on a loop of its own."""
        asyncio.run(self.run())

    async def run(self) -> None:
        """Serve until the time is up or a signal comes, and tell how it was."""
        names = [upstream.name for upstream in self._scenario.upstreams]
        ports = {name: self._port + place for place, name in enumerate(names)} if self._port else {}
        live = Live(self._scenario, self._host, ports, self._authority, control)
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        try:
            await live.start()
        except OSError as error:
            await live.stop()
            where = f"{self._host}, port {', '.join(map(str, ports.values())) or 'any'}"
            raise click.ClickException(f"cannot listen on {where}: {error.strerror}; try --port 0") from None
        self._introduce(live)
        await self._watch(live, ended)
        await live.stop()
        click.echo("\n".join(strip.rows(live, 120, colour=False)))
        click.echo(f"seed {self._scenario.seed}")

    def _introduce(self, live: Live) -> None:
        click.echo(f"seed {self._scenario.seed}")
        if self._authority is not None:
            click.echo(f"CA certificate: {self._authority.path}")
        urls = {name: live.url(name) for name in live.providers}
        text = show.config(self._scenario, urls, str(self._authority.path) if self._authority else None)
        if self._write_config is not None:
            self._write_config.write_text(text, encoding="utf-8")
            click.echo(f"gateway config written to {self._write_config}: oxllm serve -c {self._write_config}")
        else:
            click.echo(f"\n{text}")
        if sys.stdout.isatty():
            click.echo(strip.LEGEND)

    async def _watch(self, live: Live, ended: asyncio.Event) -> None:
        """Redraw until the end."""
        deadline = None if self._duration is None else live.now + self._duration
        tell = _terminal(live) if sys.stdout.isatty() else _plain(live)
        tell()
        while not ended.is_set() and (deadline is None or live.now < deadline):
            pause = REDRAW_S if deadline is None else min(REDRAW_S, deadline - live.now)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), pause)
            tell()


def _terminal(live: Live) -> Callable[[], None]:
    first = True

    def tell() -> None:
        nonlocal first
        click.echo(strip.draw(live, first), nl=False)
        first = False

    return tell


def _plain(live: Live) -> Callable[[], None]:
    plain = strip.Plain()

    def tell() -> None:
        for line in plain.lines(live):
            click.echo(line)

    return tell
