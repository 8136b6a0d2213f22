"""The options of `oxllm sim`, and their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from oxllm.params import Finite, Host, Whole
from oxllm.sim.provider import pace
from oxllm.sim.script import exhibits, presets

if TYPE_CHECKING:
    _Seconds = click.ParamType[float]
else:
    _Seconds = click.ParamType  # generic since click 8.4 only


class Duration(_Seconds):
    """`60s`, `500ms`, `2m`."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = value if isinstance(value, float) else pace.seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds == 0:
            self.fail("nothing happens in no time; write 60s or 500ms", param, ctx)
        return seconds


class Options(msgspec.Struct, frozen=True):
    """The values; the help of each option says what it means."""

    chaos: str | None
    scene: Path | None
    exhibit: str | None
    script: Path | None
    before: str | None
    blackout: bool
    seed: int | None
    explain: bool
    fate: str | None
    host: str
    port: int
    tls: bool
    duration: float | None
    write_config: Path | None
    force: bool
    config: Path | None
    against: str | None
    key_env: str | None
    header: tuple[str, ...]
    models: tuple[str, ...]
    rps: float
    streams: int
    speed: str
    report: Path | None
    beside: Path | None
    junit: Path | None
    try_advice: bool
    as_json: bool
    grade: tuple[str, ...]

    @property
    def rehearses(self) -> bool:
        """Whether there is a gateway, with a load in front of it."""
        return self.config is not None or self.against is not None


FILE = click.Path(path_type=Path, dir_okay=False)
THERE = click.Path(path_type=Path, dir_okay=False, exists=True)
_OPTIONS = (
    click.option(
        "--chaos",
        type=click.Choice(presets.NAMES),
        is_flag=False,
        flag_value="rough",
        help="Faults by the clock; rough if not said.",
    ),
    click.option("--scene", type=THERE, help="Play a scene file."),
    click.option(
        "--exhibit",
        type=click.Choice(list(exhibits.EXHIBITS)),
        metavar="NAME",
        help=f"Play a real incident: {', '.join(exhibits.EXHIBITS)}.",
    ),
    click.option(
        "--script",
        type=THERE,
        help="One provider, `sim`, whose next faults and answers a file decides.",
    ),
    click.option(
        "--before",
        metavar="URL",
        help="Be a proxy before a real provider, `real`, and break its answers where a scene says so.",
    ),
    click.option("--blackout", is_flag=True, help="Let chaos leave no provider clean."),
    click.option("--seed", type=Whole(min=0), help="Have a run again; random if not given."),
    click.option("--explain", is_flag=True, help="Print the timetable of faults and run nothing."),
    click.option("--fate", metavar="SEED:PROVIDER:REQUEST", help="What one request gets, and why; nothing runs."),
    click.option("--host", type=Host(), default="127.0.0.1", show_default=True, help="Where to listen."),
    click.option(
        "--port",
        type=Whole(0, 65535),
        default=0,
        help="Port of the first provider, the others follow; 0 = any.",
    ),
    click.option("--tls", is_flag=True, help="Serve TLS under a CA made for this run. Needs oxllm[sim]."),
    click.option("--for", "duration", type=Duration(), help="End after this time."),
    click.option(
        "--write-config",
        type=FILE,
        help="Write a gateway config that uses these providers.",
    ),
    click.option("--force", is_flag=True, help="Let --write-config write over a file."),
    click.option(
        "--rehearse",
        "config",
        type=THERE,
        metavar="CONFIG",
        help="Rehearse a gateway config: its providers simulated, the real gateway, a load, a report card.",
    ),
    click.option(
        "--against",
        metavar="URL",
        help="The same for any gateway: its base URL with /v1. It has to know the providers, on ports 9000 and up.",
    ),
    click.option("--key-env", metavar="NAME", help="With --against: the variable that holds the key for it."),
    click.option(
        "--header",
        multiple=True,
        metavar="'NAME: VALUE'",
        help="With --against: a header of every request, for gateways that are configured by one.",
    ),
    click.option(
        "--model",
        "models",
        multiple=True,
        metavar="NAME",
        help="What clients ask for, a virtual model or provider/model; if not said, every virtual model.",
    ),
    click.option("--rps", type=Finite(0.1, 1000), default=10.0, show_default=True, help="Requests a second."),
    click.option(
        "--streams",
        type=Whole(0, 100),
        default=80,
        show_default=True,
        help="Of a hundred requests, how many stream.",
    ),
    click.option("--pace", "speed", default="fast", show_default=True, help="How fast rehearsed providers answer."),
    click.option("--report", type=FILE, help="Write the report as one HTML file."),
    click.option(
        "--beside",
        type=THERE,
        metavar="JSON",
        help="Print the card beside that of another run, as --json wrote it.",
    ),
    click.option("--junit", type=FILE, help="Write the verdict as JUnit XML, for CI."),
    click.option("--try-advice", is_flag=True, help="Play it again with what the card advises, and compare."),
    click.option("--json", "as_json", is_flag=True, help="Print the report card as JSON."),
    click.option(
        "--grade",
        multiple=True,
        metavar="RULE",
        help="What to reach, as 'amplification < 1.2' or 'failover.p99 < 1s'; else exit 1.",
    ),
)


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add all options, in the order of the help."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
