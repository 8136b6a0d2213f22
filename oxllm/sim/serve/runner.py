"""`oxllm sim` in the foreground: serve until the time is up or a signal arrives, and show what happens."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script import show
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve import strip
from oxllm.sim.serve.control import control
from oxllm.sim.serve.directions import Directions
from oxllm.sim.serve.files import write
from oxllm.sim.serve.live import Live
from oxllm.sim.serve.tls import Authority, NoTls
from oxllm.terminal import is_terminal

REDRAW_S = 0.25
DRAIN_S = 5.0
"""For answers under way at the end; a stalled one would take for ever."""


def authority(tls: bool, scenario: Scenario, host: str) -> Authority | None:
    kinds = {dosed.fault.kind for scene in scenario.scenes for dosed in scene.faults}
    if not tls and kinds & {"tls-expired", "tls-abort"}:
        raise click.UsageError("the scenes have TLS faults; give --tls")
    try:
        return Authority(host) if tls else None
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
        about: Sequence[str] = (),
        directions: Directions | None = None,
        before: str | None = None,
    ) -> None:
        """`about`: lines for the user about what is played; `directions`: for the only provider; `before`: the base URL
        of a real one, whose answers it passes on."""
        self._before = before
        self._directions = directions
        self._scenario = scenario
        self._about = about
        self._host = host
        self._port = port
        self._authority = authority
        self._duration = duration
        self._write_config = write_config

    def run_until_done(self) -> None:
        """`run`, on a loop of its own."""
        asyncio.run(self.run())

    async def run(self) -> None:
        """Serve until the time is up or a signal arrives, and print a summary."""
        names = [upstream.name for upstream in self._scenario.upstreams]
        ports = {name: self._port + place for place, name in enumerate(names)} if self._port else {}
        live = Live(self._scenario, self._host, ports, self._authority, control, self._before)
        if self._directions is not None:
            next(iter(live.providers.values())).directions = self._directions
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        try:
            await live.start()
        except OSError as error:
            await live.stop()
            raise click.ClickException(f"cannot listen on {self._host}: {_advice(error, ports.values())}") from None
        try:
            self._introduce(live)
            await self._serve(live, ended)
            click.echo("\n".join(strip.summary(live)))
        finally:
            await live.stop()
        click.echo(f"seed {self._scenario.seed}")

    async def _serve(self, live: Live, ended: asyncio.Event) -> None:
        """Serve until the time is up or a signal arrives; then, until a second signal, let answers under way end."""
        plain, terminal = _plain(live), is_terminal()
        deadline = FOREVER if self._duration is None else live.now + self._duration
        await _show(live, ended, _terminal(live) if terminal else plain, lambda: live.now >= deadline, deadline)
        ended.clear()
        await live.leave()
        if live.under_way:
            click.echo(f"{live.under_way} under way: they have {DRAIN_S:g} s to end; Ctrl-C again cuts them")
            deadline = live.now + DRAIN_S
            ends = _terminal(live) if terminal else plain
            await _show(live, ended, ends, lambda: not live.under_way or live.now >= deadline, deadline)

    def _introduce(self, live: Live) -> None:
        click.echo("\n".join([f"seed {self._scenario.seed}", *self._about]))
        if any(scene.expect for scene in self._scenario.scenes):
            click.echo("note: `expect` counts in a rehearsal only; add --rehearse CONFIG", err=True)
        if not ipaddress.ip_address(live.address).is_loopback:
            click.echo("note: other machines can reach this; the control API answers this one only", err=True)
        if self._authority is not None:
            click.echo(f"CA certificate: {self._authority.path}")
        urls = {name: live.url(name) for name in live.providers}
        if self._before is not None:
            (url,) = urls.values()
            click.echo(f"{url} is {self._before}, where no fault strikes; keys pass, and nothing is kept")
            return
        text = show.config(self._scenario, urls, str(self._authority.path) if self._authority else None)
        if self._write_config is not None:
            write(self._write_config, text)
            click.echo(f"gateway config written to {self._write_config}: oxllm serve -c {self._write_config}")
        else:
            click.echo(f"A gateway config for these providers (--write-config FILE writes it):\n\n{text}")
        if is_terminal():
            click.echo(strip.LEGEND)


def _advice(error: OSError, ports: Iterable[int]) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {' or '.join(map(str, ports))} is taken; try --port 0"
    if error.errno == errno.EACCES:
        return f"{error.strerror}; try a port from 1024 up, or --port 0"
    return f"{error.strerror}; write an address of this machine after --host"


async def _show(
    live: Live, ended: asyncio.Event, tell: Callable[[], None], done: Callable[[], bool], deadline: float
) -> None:
    """Call `tell` again and again until a signal arrives or `done`, which is true from `deadline` on."""
    tell()
    while not ended.is_set() and not done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), min(REDRAW_S, max(0.0, deadline - live.now)))
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
