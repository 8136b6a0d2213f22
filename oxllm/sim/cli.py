"""`oxllm sim`: fake providers with real faults, on loopback."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

import click

from oxllm.params import Whole
from oxllm.sim import dialects
from oxllm.sim.checks import check
from oxllm.sim.options import FILE, THERE, Options, options
from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import REAL, Upstream
from oxllm.sim.script import exhibits, learn, presets, scenes, show
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve import directions
from oxllm.sim.serve.directions import Directions
from oxllm.sim.serve.files import check_new, write_all

if TYPE_CHECKING:
    from oxllm.sim.rehearsal.request import Request

ENDLESS_S = 4 * 3600.0
"""How far ahead the chaos of an endless run is planned; after that all are healthy."""
EXPLAINED_S = 600.0
"""How far ahead --explain and --fate look without --for."""
AGAINST_PORT = 9000
"""Port of the first provider with --against, fixed so that the gateway can be configured with it."""
EXIT = {"passed": 0, "failed": 1, "not tested": 4}
"""Verdict of a rehearsal -> exit code; 2 is for usage errors."""
COORDINATE = tuple[int, str, str]
"""Seed, provider, key of a request."""


@click.group(
    "sim",
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",  # click 8.2 does not see that none is needed
    context_settings={"help_option_names": ["-h", "--help"]},
)
@options
@click.pass_context
def sim_command(context: click.Context, /, **given: Any) -> None:
    """Fake OpenAI-compatible providers that break on purpose.

    Without options: two healthy providers on loopback ports, and a gateway config to paste.
    """
    if context.invoked_subcommand is not None:
        return
    asked = Options(**given)
    check(context, asked)
    coordinate = None
    if asked.fate is not None:
        with _usage():
            coordinate = show.coordinate(asked.fate)
    if asked.rehearses:
        _rehearse(asked, coordinate)
    else:
        _serve(asked, coordinate)


@sim_command.command("learn")
@click.argument("log", type=click.File(encoding="utf-8", errors="replace"))
def learn_command(log: TextIO) -> None:
    """Print a scene made of a LOG: oxllm's or LiteLLM's JSON, or an access log; - is what is piped in.

    It has the pace and the sizes of the answers and the shares of failures, and no prompt. Nothing runs.
    """
    with _usage():
        click.echo(learn.scene(log), nl=False)


@sim_command.command("shrink")
@click.argument("report", type=THERE)
@click.option("-o", "--output", type=FILE, help="Write the scene here and not to the terminal.")
@click.option("--pytest", "test", type=FILE, help="Write a test that fails as long as the rule is not kept.")
@click.option("--tries", type=Whole(min=1), default=60, show_default=True, help="Runs that it may take.")
@click.option("--force", is_flag=True, help="Write over files.")
def shrink_command(report: Path, output: Path | None, test: Path | None, tries: int, force: bool) -> None:
    """Find the shortest scene under which a run fails that has failed.

    REPORT is what --rehearse CONFIG --json wrote. Each step is a run with fewer questions, scenes or faults.
    Exit: 0, 1 when it does not fail again.
    """
    from oxllm.sim.rehearsal import report as reports
    from oxllm.sim.rehearsal.shrinking import Shrinking

    for file in filter(None, (output, test)):
        check_new(file, force)
    told = reports.read(report)
    try:
        asked = _again(told.command)
    except click.UsageError as bad:
        run = f"the run of {report}, `{told.command}`, cannot be had again here"
        raise click.UsageError(f"{run}: {bad.format_message()}") from None
    found = Shrinking(told, asked, tries, lambda line: click.echo(line, err=True)).run()
    if found is None:
        raise click.ClickException(f"{told.card.failed[0]} is kept this time: nothing of what was played fails again")
    click.echo(f"{found.rule} is not kept: {found.replay(output or Path('scene.toml')).run}", err=True)
    try:
        if output is None:
            click.echo(found.scene, nl=False)
    finally:
        write_all((output, found.scene), (test, found.pytest))


def _again(command: str) -> Request:
    """The request of a run, parsed from its command. Raises UsageError."""
    words = shlex.split(command)[2:]
    asked = Options(**sim_command.make_context("sim", words).params)
    return _request(asked, None)


def _seed(asked: Options, coordinate: COORDINATE | None) -> int:
    """The seed that was given, else a random one."""
    given = asked.seed if coordinate is None else coordinate[0]
    return random.randrange(10_000) if given is None else given


def _is_chosen(asked: Options) -> bool:
    """Whether a seed was given, which takes precedence over that of a scene file."""
    return asked.seed is not None or asked.fate is not None


def _rehearse(asked: Options, coordinate: COORDINATE | None) -> None:
    """Run a gateway and a load, or only show what that would play."""
    from oxllm.sim.rehearsal import command

    request = _request(asked, coordinate)
    if coordinate is not None:
        click.echo(command.fate(request, *coordinate[1:]))
    elif asked.explain:
        click.echo(command.timetable(request))
    else:
        sys.exit(_report(request, asked))


def _request(asked: Options, coordinate: COORDINATE | None) -> Request:
    """The options as the request for a rehearsal. Raises UsageError."""
    from oxllm.sim.rehearsal.request import Request

    return Request(
        config=asked.config,
        chaos=asked.chaos or "rough",
        scene=asked.scene,
        exhibit=asked.exhibit,
        blackout=asked.blackout,
        seed=_seed(asked, coordinate),
        chosen=_is_chosen(asked),
        duration=asked.duration or 60.0,
        rps=asked.rps,
        streams=asked.streams / 100,
        pace=asked.speed,
        grade=asked.grade,
        models=asked.models,
        against=asked.against,
        key=_key(asked.key_env),
        port=asked.port or (AGAINST_PORT if asked.against is not None else 0),
        try_advice=asked.try_advice,
        headers=asked.header,
    )


def _key(variable: str | None) -> str | None:
    """The key in an environment variable. Raises UsageError."""
    if variable is not None and not os.environ.get(variable):
        raise click.UsageError(f"--key-env {variable}: the environment variable is not set")
    return os.environ[variable] if variable is not None else None


def _report(request: Request, asked: Options) -> int:
    """Rehearse, print the card, and return the exit code of its verdict."""
    from oxllm.sim.page.page import page
    from oxllm.sim.rehearsal import command
    from oxllm.sim.rehearsal import report as reports
    from oxllm.sim.rehearsal.junit import junit

    other = None if asked.beside is None else reports.read(asked.beside)
    done = command.rehearsal(request, to_stderr=asked.as_json)
    run, replay = done.run, done.replay
    try:
        if asked.as_json:
            click.echo(reports.as_json(done.told, run.recorded.duration, done.heeded))
        elif other is not None:
            click.echo(reports.beside(done.told, other))
        else:
            terminal = shutil.get_terminal_size((reports.WIDTH, 24))
            click.echo(reports.text(run.card, replay, terminal.columns))
        if done.heeded is not None and not asked.as_json:
            click.echo(f"\nwith what is advised on the right:\n{reports.columns(done.told, done.heeded)}")
    finally:
        results = junit(run.card, done.rules, run.recorded.duration, replay)
        write_all((asked.report, page(run, replay) if asked.report else ""), (asked.junit, results))
    return EXIT[run.card.verdict.value]


def _serve(asked: Options, coordinate: COORDINATE | None) -> None:
    """Serve the providers, or only show what they would play."""
    with _usage():
        scenario = _scenario(asked, _seed(asked, coordinate))
        decided = None if asked.script is None else _directions(asked.script)
    if decided is not None:
        scenario = Scenario(scenario.seed, (Upstream("sim", pace=pace.parse("instant")),))
    if coordinate is not None:
        _tell_fate(scenario, *coordinate[1:], asked.duration or EXPLAINED_S)
    elif asked.explain:
        click.echo(f"seed {scenario.seed}")
        click.echo("\n".join(show.timetable(scenario, asked.duration or EXPLAINED_S)))
    else:
        _run(asked, scenario, decided)


def _run(asked: Options, scenario: Scenario, decided: Directions | None) -> None:
    """Serve in the foreground until the end. Raises UsageError."""
    from oxllm.sim.serve.runner import Runner, authority

    if asked.port + len(scenario.upstreams) > 65536:
        raise click.UsageError(f"--port {asked.port}: the last provider's would lie above 65535; try --port 0")
    tls = authority(asked.tls, scenario, asked.host)
    runner = Runner(
        scenario, asked.host, asked.port, tls, asked.duration, asked.write_config, _about(asked), decided, asked.before
    )  # fmt: skip
    runner.run_until_done()


@contextlib.contextmanager
def _usage() -> Iterator[None]:
    """Turn errors in the user's input into usage errors, exit code 2."""
    try:
        yield
    except (scenes.SceneError, show.BadCoordinate, learn.NothingLearnt) as error:
        raise click.UsageError(str(error)) from None


def _scenario(asked: Options, seed: int) -> Scenario:
    """The scenario of a run without a gateway. Raises SceneError."""
    if asked.before is not None:
        return _before(asked, asked.before, seed)
    if asked.scene is not None:
        return scenes.load(scenes.read(asked.scene), seed, _is_chosen(asked), asked.scene)
    if asked.exhibit is not None:
        return exhibits.scenario(asked.exhibit, seed, asked.duration or exhibits.PLAYED_S)
    upstreams, horizon = (Upstream("alpha"), Upstream("beta")), asked.duration or ENDLESS_S
    groups, chaos = [["alpha", "beta"]], asked.chaos
    table = presets.timetable(chaos, seed, groups, horizon, asked.blackout) if chaos is not None else ()
    return Scenario(seed, upstreams, table, chaos)


def _before(asked: Options, url: str, seed: int) -> Scenario:
    """The scenario in front of a real provider: without scenes unless some are asked for. Raises SceneError."""
    real = Upstream(REAL, dialects.suggested(urlsplit(url).netloc), ())
    if asked.scene is not None:
        scenario = scenes.over((real,), scenes.read(asked.scene), seed, _is_chosen(asked), asked.scene)
        others = [upstream.name for upstream in scenario.upstreams if upstream.name != REAL]
        if others:
            raise scenes.SceneError([f"{', '.join(others)}: --before has one provider, {REAL!r}"])
        return scenario
    if asked.exhibit is not None:
        table = exhibits.scenes(asked.exhibit, REAL, asked.duration or exhibits.PLAYED_S)
        return Scenario(seed, (real,), table, asked.exhibit)
    if asked.chaos is None:
        return Scenario(seed, (real,))
    table = presets.timetable(asked.chaos, seed, [[REAL]], asked.duration or ENDLESS_S, blackout=True)
    return Scenario(seed, (real,), table, asked.chaos)


def _directions(file: Path) -> Directions:
    """The directions in a script file. Raises SceneError."""
    text = scenes.read(file)
    try:
        return directions.load(text)
    except ValueError as error:
        raise scenes.SceneError([f"{file}: {error}"]) from None


def _about(asked: Options) -> list[str]:
    """Lines for the user about what is played."""
    if asked.exhibit is not None:
        told = exhibits.EXHIBITS[asked.exhibit]
        return [f"exhibit {asked.exhibit}: {told.story}", f"source: {told.source}"]
    if asked.chaos is not None:
        return [f"chaos {asked.chaos}"]
    return [f"scenes of {asked.scene}"] if asked.scene is not None else []


def _tell_fate(scenario: Scenario, provider: str, key: str, horizon: float) -> None:
    names = [upstream.name for upstream in scenario.upstreams]
    if provider not in names:
        raise click.UsageError(f"unknown provider {provider!r}; there are {', '.join(names)}")
    click.echo("\n".join(show.fate(scenario, provider, key, horizon)))
