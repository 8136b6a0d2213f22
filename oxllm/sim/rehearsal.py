"""`oxllm sim --rehearse CONFIG`: what is asked for becomes a run, and the run a report and an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from oxllm.plan import Plan

from . import gateway, grade, pace, page, presets, scenes, show
from . import report as reports
from .gateway import ConfigError, Gateway
from .load import Transcript
from .rehearse import Run, rehearse
from .replay import Replay
from .scenario import Scenario


class Request(msgspec.Struct, frozen=True):
    """What the command line asked for."""

    config: Path
    chaos: str
    scene: Path | None
    blackout: bool
    seed: int
    duration: float
    rps: float
    streams: float
    pace: str
    grade: tuple[str, ...]

    def replay(self, seed: int) -> Replay:
        """The commands that have it again; `seed` is the one that it had."""
        chaos = ("--chaos", self.chaos, *(["--blackout"] if self.blackout else []))
        play = chaos if self.scene is None else ("--scene", str(self.scene))
        load = ("--rps", f"{self.rps:g}", "--streams", f"{self.streams * 100:g}", "--pace", self.pace)
        rules = (word for rule in self.grade for word in ("--grade", rule))
        return Replay(str(self.config), (*play, "--for", f"{self.duration:g}s"), ("--seed", str(seed), *load, *rules))


def timetable(asked: Request) -> str:
    """The faults that a rehearsal would play; nothing runs."""
    scenario = _prepared(asked)[1]
    return "\n".join([f"seed {scenario.seed}", *show.timetable(scenario, asked.duration)])


def fate(asked: Request, provider: str, ordinal: int) -> str:
    """What one request of a rehearsal gets, and why."""
    scenario = _prepared(asked)[1]
    names = [upstream.name for upstream in scenario.upstreams]
    if provider not in names:
        raise click.UsageError(f"unknown provider {provider!r}; there are {', '.join(names)}")
    return "\n".join(show.fate(scenario, provider, ordinal))


def _prepared(asked: Request) -> tuple[Plan, Scenario, tuple[str, ...]]:
    """Config, scenario and expectations, or a usage error."""
    try:
        plan = gateway.compiled(asked.config)
        scenario = _scenario(asked, plan)
        return plan, scenario, _expectations(asked, scenario)
    except (ConfigError, scenes.SceneError, pace.BadPace) as error:
        raise click.UsageError(str(error)) from None


def rehearsal(asked: Request, report: Path | None, as_json: bool) -> int:
    """Rehearse, tell the card, and return the exit code: 1 if an expectation was not met."""
    plan, scenario, expectations = _prepared(asked)
    click.echo(f"seed {scenario.seed}", err=as_json)
    try:
        run = asyncio.run(_run(asked, plan, scenario, expectations))
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from None
    replay = asked.replay(scenario.seed)
    if report is not None:
        report.write_text(page.page(run, replay), encoding="utf-8")
    click.echo(reports.as_json(run.card) if as_json else reports.text(run.card, replay))
    return 1 if run.card.failed else 0


async def _run(asked: Request, plan: Plan, scenario: Scenario, expectations: Sequence[str]) -> Run:
    return await rehearse(
        scenario,
        gateway.groups(plan),
        lambda urls: Gateway.of(gateway.rewired(plan, urls, gateway.free_port())),
        duration=asked.duration,
        rps=asked.rps,
        streams=asked.streams,
        expectations=expectations,
        progress=_Progress(asked.duration),
    )


def _scenario(asked: Request, plan: Plan) -> Scenario:
    """Chaos over the config's providers, or the scenes of a file, which name them. Raises ConfigError, SceneError."""
    groups = gateway.groups(plan)
    if not groups:
        raise ConfigError(f"{asked.config}: no virtual model to rehearse; add one under [virtual_models]")
    upstreams = gateway.upstreams(plan, pace.parse(asked.pace))
    if asked.scene is not None:
        return scenes.over(upstreams, asked.scene.read_text(encoding="utf-8"), asked.seed)
    table = presets.timetable(asked.chaos, asked.seed, list(groups.values()), asked.duration, asked.blackout)
    return Scenario(asked.seed, upstreams, table)


def _expectations(asked: Request, scenario: Scenario) -> tuple[str, ...]:
    """Of the command line, else the default, and of the scenes. Raises SceneError."""
    found = (*(asked.grade or grade.DEFAULT), *(text for scene in scenario.scenes for text in scene.expect))
    names = [upstream.name for upstream in scenario.upstreams]
    errors = [error for text in found if (error := grade.check(text, names)) is not None]
    if errors:
        raise scenes.SceneError(errors)
    return found


class _Progress:
    """A line every five seconds, on standard error."""

    def __init__(self, duration: float) -> None:
        self._duration = duration
        self._next = 5.0

    def __call__(self, at: float, transcripts: Sequence[Transcript]) -> None:
        if at < self._next:
            return
        self._next += 5.0
        whole = sum(seen.verdict == "whole" for seen in transcripts)
        wrong = sum(seen.verdict in ("refused", "broken", "truncated") for seen in transcripts)
        told = f"{at:4.0f} of {self._duration:g} s: {len(transcripts)} requests, {whole} whole, {wrong} failed"
        click.echo(told, err=True)
