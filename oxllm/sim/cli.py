"""`oxllm sim`: fake providers with real faults, on loopback."""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from oxllm.params import Finite
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import exhibits, learn, presets, scenes, show
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve import directions
from oxllm.sim.serve.directions import Directions

if TYPE_CHECKING:
    from oxllm.sim.rehearsal.command import Request

ENDLESS_S = 4 * 3600.0
"""How far ahead the chaos of an endless run is laid out; after it everyone is healthy."""


EXPLAINED_S = 600.0
"""How far ahead --explain and --fate look when --for says nothing."""

AGAINST_PORT = 9000
"""Of the first provider, when a gateway has to be told of it."""
EXIT = {"passed": 0, "failed": 1, "not tested": 4}
"""Verdict of a rehearsal -> exit code; 2 is for what was asked wrongly."""
_REHEARSING = ("models", "rps", "streams", "speed", "report", "beside", "junit", "try_advice", "as_json", "grade")
_SERVING = ("script", "tls", "write_config", "force", "host", "port")
"""Parameters that are for one kind of run only."""


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


@click.command("sim", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--chaos",
    type=click.Choice(presets.NAMES),
    is_flag=False,
    flag_value="rough",
    help="Faults by the clock; rough if not said.",
)
@click.option("--scene", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Play a scene file.")
@click.option(
    "--exhibit",
    type=click.Choice(list(exhibits.EXHIBITS)),
    metavar="NAME",
    help=f"Play a real incident: {', '.join(exhibits.EXHIBITS)}.",
)
@click.option(
    "--script",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="One provider, `sim`, whose next faults and answers a file decides.",
)
@click.option(
    "--learn",
    "log",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Print a scene made of a log: oxllm's or LiteLLM's JSON, or an access log; nothing runs.",
)
@click.option("--blackout", is_flag=True, help="Let chaos leave no provider clean.")
@click.option("--seed", type=click.IntRange(min=0), help="Have a run again; random if not given.")
@click.option("--explain", is_flag=True, help="Print the timetable of faults and run nothing.")
@click.option("--fate", metavar="SEED:PROVIDER:REQUEST", help="What one request gets, and why; nothing runs.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port of the first provider, the others follow; 0 = any."
)
@click.option("--tls", is_flag=True, help="Serve TLS under a CA made for this run. Needs oxllm[sim].")
@click.option("--for", "duration", type=Duration(), help="End after this time.")
@click.option(
    "--write-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a gateway config that uses these providers.",
)
@click.option("--force", is_flag=True, help="Let --write-config write over a file.")
@click.option(
    "--rehearse",
    "config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="CONFIG",
    help="Rehearse a gateway config: its providers simulated, the real gateway, a load, a report card.",
)
@click.option(
    "--against",
    metavar="URL",
    help="The same for any gateway: its base URL with /v1. It has to know the providers, on ports 9000 and up.",
)
@click.option("--key-env", metavar="NAME", help="With --against: the variable that holds the key for it.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="What clients ask for, a virtual model or provider/model; if not said, every virtual model.",
)
@click.option("--rps", type=Finite(0.1, 1000), default=10.0, show_default=True, help="Requests a second.")
@click.option(
    "--streams",
    type=click.IntRange(0, 100),
    default=80,
    show_default=True,
    help="Of a hundred requests, how many stream.",
)
@click.option("--pace", "speed", default="fast", show_default=True, help="How fast rehearsed providers answer.")
@click.option("--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as one HTML file.")
@click.option(
    "--beside",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="JSON",
    help="Print the card beside that of another run, as --json wrote it.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the verdict as JUnit XML, for CI."
)
@click.option("--try-advice", is_flag=True, help="Play it again with the clocks that the card advises, and compare.")
@click.option("--json", "as_json", is_flag=True, help="Print the report card as JSON.")
@click.option(
    "--grade",
    multiple=True,
    metavar="RULE",
    help="What to reach, as 'amplification < 1.2' or 'failover.p99 < 1s'; else exit 1.",
)
def sim_command(
    chaos: str | None,
    scene: Path | None,
    exhibit: str | None,
    script: Path | None,
    log: Path | None,
    blackout: bool,
    seed: int | None,
    explain: bool,
    fate: str | None,
    host: str,
    port: int,
    tls: bool,
    duration: float | None,
    write_config: Path | None,
    force: bool,
    config: Path | None,
    against: str | None,
    key_env: str | None,
    models: tuple[str, ...],
    rps: float,
    streams: int,
    speed: str,
    report: Path | None,
    beside: Path | None,
    junit: Path | None,
    try_advice: bool,
    as_json: bool,
    grade: tuple[str, ...],
) -> None:
    """Fake OpenAI-compatible providers that break on purpose.

    Without options: two healthy providers on loopback ports, and a gateway config to paste.
    """
    _check(click.get_current_context())
    if log is not None:
        with _usage(), log.open(encoding="utf-8", errors="replace") as lines:
            click.echo(learn.scene(lines), nl=False)
        return
    provider, key, chosen = "", "", seed is not None or fate is not None
    if fate is not None:
        with _usage():
            seed, provider, key = show.coordinate(fate)
    seed = random.randrange(10_000) if seed is None else seed
    if config is not None or against is not None:
        from oxllm.sim.rehearsal import command as rehearsal

        asked = rehearsal.Request(
            config, chaos or "rough", scene, exhibit, blackout, seed, chosen, duration or 60.0, rps, streams / 100,
            speed, grade, models, against, _key(key_env), port or (AGAINST_PORT if against is not None else 0),
            try_advice,
        )  # fmt: skip
        if provider:
            click.echo(rehearsal.fate(asked, provider, key))
        elif explain:
            click.echo(rehearsal.timetable(asked))
        else:
            sys.exit(_rehearse(asked, report, beside, junit, as_json))
        return
    with _usage():
        scenario = _scenario(chaos, scene, exhibit, blackout, seed, chosen, duration or ENDLESS_S)
        decided = None if script is None else _directions(script)
    if decided is not None:
        scenario = Scenario(seed, (Upstream("sim", pace=pace.parse("instant")),))
    if fate is not None:
        _tell_fate(scenario, provider, key, duration or EXPLAINED_S)
    elif explain:
        click.echo(f"seed {scenario.seed}")
        click.echo("\n".join(show.timetable(scenario, duration or EXPLAINED_S)))
    else:
        from oxllm.sim.serve.runner import Runner, authority

        if port + len(scenario.upstreams) > 65536:
            raise click.UsageError(f"--port {port}: the last provider's would lie above 65535; try --port 0")
        about = _about(chaos, scene, exhibit)
        runner = Runner(scenario, host, port, authority(tls, scenario, host), duration, write_config, about, decided)
        runner.run_until_done()


def _key(variable: str | None) -> str | None:
    """The key that a variable holds. Raises UsageError."""
    if variable is not None and not os.environ.get(variable):
        raise click.UsageError(f"--key-env {variable}: the environment variable is not set")
    return os.environ[variable] if variable is not None else None


def _rehearse(asked: Request, report: Path | None, beside: Path | None, junit: Path | None, as_json: bool) -> int:
    """Rehearse, tell the card, and return the exit code of its verdict."""
    from oxllm.sim.page.page import page
    from oxllm.sim.rehearsal import command
    from oxllm.sim.rehearsal import report as reports
    from oxllm.sim.rehearsal.junit import junit as xml

    other = None if beside is None else reports.read(beside)
    done = command.rehearsal(asked, to_stderr=as_json)
    run, replay = done.run, done.replay
    if report is not None:
        report.write_text(page(run, replay), encoding="utf-8")
    if junit is not None:
        junit.write_text(xml(run.card, done.rules, run.duration, replay), encoding="utf-8")
    if as_json:
        click.echo(reports.as_json(run.card, run.duration, replay))
    elif other is not None:
        click.echo(reports.beside(run.card, replay, *other))
    else:
        click.echo(reports.text(run.card, replay))
        if done.heeded is not None:
            click.echo(f"\nwith what is advised on the right:\n{reports.columns(run.card, done.heeded.card)}")
    return EXIT[run.card.verdict.value]


def _check(context: click.Context) -> None:
    """Options that contradict each other or would do nothing, and files that cannot be written. Raises UsageError."""
    asked = context.params
    rehearses = asked["config"] is not None or asked["against"] is not None
    if sum(asked[name] is not None for name in ("chaos", "scene", "exhibit", "script")) > 1:
        raise click.UsageError("--chaos, --scene, --exhibit and --script are different runs; give one of them")
    if asked["blackout"] and asked["chaos"] is None and (not rehearses or asked["scene"] or asked["exhibit"]):
        raise click.UsageError("--blackout lifts a rule of --chaos; give --chaos too")
    if asked["fate"] is not None and asked["seed"] is not None:
        raise click.UsageError("--fate names a seed itself; leave out --seed")
    _check_against(asked)
    _check_useless(context, rehearses)
    if asked["fate"] is None and not asked["explain"]:
        for file in filter(None, (asked["report"], asked["junit"])):
            _check_writable(file)
        if asked["write_config"] is not None:
            _check_new(asked["write_config"], asked["force"])


def _check_against(asked: Mapping[str, object]) -> None:
    """What belongs to a gateway that is not ours. Raises UsageError."""
    if asked["config"] is not None and asked["against"] is not None:
        raise click.UsageError("--rehearse starts a gateway, --against asks one that is there; give one of them")
    if asked["against"] is not None and not asked["models"]:
        raise click.UsageError("--against: give --model NAME, a model that this gateway serves from the providers")
    if asked["key_env"] is not None and asked["against"] is None:
        raise click.UsageError("--key-env: only for --against URL")


def _check_useless(context: click.Context, rehearses: bool) -> None:
    """Options that are for the other kind of run. Raises UsageError."""
    useless = set(_SERVING if rehearses else _REHEARSING)
    if context.params["against"] is not None:
        useless.discard("port")
    given = [name for name in useless if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if not given:
        return
    options = ", ".join(param.opts[0] for param in context.command.params if param.name in given)
    if not rehearses:
        raise click.UsageError(f"{options}: only for a rehearsal; give --rehearse CONFIG too")
    raise click.UsageError(f"--rehearse listens on ports of its own; leave out {options}")


def _check_new(file: Path, force: bool) -> None:
    """Find out now, and touch nothing: the file is written when there are ports to write into it. Raises UsageError."""
    if file.exists() and not force:
        raise click.UsageError(f"{file} exists already; write over it with --force")
    if not file.parent.is_dir():
        raise click.UsageError(f"{file} cannot be written: no such directory")


def _check_writable(file: Path) -> None:
    """Find out now that a file cannot be written, and not when a run has ended. Raises UsageError."""
    try:
        file.open("ab").close()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}") from None


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """Errors of what was written become usage errors, exit 2."""
    try:
        yield
    except (scenes.SceneError, show.BadCoordinate, learn.NothingLearnt) as error:
        raise click.UsageError(str(error)) from None


def _scenario(
    chaos: str | None, scene: Path | None, exhibit: str | None, blackout: bool, seed: int, chosen: bool, horizon: float
) -> Scenario:
    if scene is not None:
        return scenes.load(scenes.read(scene), seed, chosen)
    if exhibit is not None:
        return exhibits.scenario(exhibit, seed, horizon if horizon != ENDLESS_S else exhibits.PLAYED_S)
    upstreams = (Upstream("alpha"), Upstream("beta"))
    table = presets.timetable(chaos, seed, [["alpha", "beta"]], horizon, blackout) if chaos is not None else ()
    return Scenario(seed, upstreams, table, chaos)


def _directions(file: Path) -> Directions:
    """What a script file decides. Raises SceneError."""
    try:
        return directions.load(scenes.read(file))
    except ValueError as error:
        raise scenes.SceneError([f"{file}: {error}"]) from None


def _about(chaos: str | None, scene: Path | None, exhibit: str | None) -> list[str]:
    """What is played, for who started it."""
    if exhibit is not None:
        told = exhibits.EXHIBITS[exhibit]
        return [f"exhibit {exhibit}: {told.story}", f"source: {told.source}"]
    return [f"chaos {chaos}"] if chaos is not None else [f"scenes of {scene}"] if scene is not None else []


def _tell_fate(scenario: Scenario, provider: str, key: str, horizon: float) -> None:
    names = [upstream.name for upstream in scenario.upstreams]
    if provider not in names:
        raise click.UsageError(f"unknown provider {provider!r}; there are {', '.join(names)}")
    click.echo("\n".join(show.fate(scenario, provider, key, horizon)))
