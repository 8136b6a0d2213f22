"""`oxllm validate`: reports everything that is wrong with a configuration, before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from oxllm.cli.options import Failure, NoConfiguration, config_option, json_option, read_config
from oxllm.cli.report import print_problems
from oxllm.words import bracketed, count

if TYPE_CHECKING:
    from oxllm.cli.probe import Probe
    from oxllm.config.compile import Loaded
    from oxllm.plan import Plan


@click.command()
@config_option
@click.option("--probe", is_flag=True, help="Ask each enabled provider what models it has and what it speaks.")
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@json_option
def command(config: str | None, probe: bool, strict: bool, as_json: bool) -> None:
    """List all errors and warnings of a configuration.

    Exit: 0 when it can be served, 1 when not.
    """
    try:
        loaded = read_config(config)
    except NoConfiguration as missing:
        if not as_json:
            raise
        loaded = _nothing(config or "", missing.message)
    probes: list[Probe] = []
    if probe and loaded.plan:
        from oxllm.cli.probe import probe_all

        probes = probe_all(loaded.plan)
    failed = bool(loaded.errors) or any(p.failed for p in probes)
    warned = bool(loaded.warnings) or any(p.warning for p in probes)
    good = not failed and not (strict and warned)
    if as_json:
        _print_json(loaded, probes, good)
    else:
        _print_text(loaded, probes)
    if not good:
        raise SystemExit(1) if as_json or loaded.errors else Failure(_why_not(probes))


def _nothing(file: str, why: str) -> Loaded:
    """The result for a missing file, with that as its error."""
    from oxllm.config.compile import Loaded
    from oxllm.config.problem import Problem

    return Loaded(None, (Problem(file, None, "", why),))


def _print_text(loaded: Loaded, probes: list[Probe]) -> None:
    print_problems((*loaded.errors, *loaded.warnings, *loaded.notes))
    if probes:
        from oxllm.cli.probe import show_probes

        show_probes(probes)
    found = f"{count(len(loaded.errors), 'error')}, {count(len(loaded.warnings), 'warning')}"
    if loaded.plan:
        click.echo(f"{loaded.plan.source}: valid ({count(len(loaded.warnings), 'warning')})")
        click.echo(summary(loaded.plan))
    else:
        click.echo(found, err=True)


def _why_not(probes: list[Probe]) -> str:
    """Why a configuration without errors fails."""
    if failed := sum(probe.failed for probe in probes):
        return f"{failed} of {count(len(probes), 'provider')} cannot be used"
    return "with --strict a warning fails"


def summary(plan: Plan) -> str:
    """A configuration summed up in one line."""
    off = f" ({len(plan.disabled)} off)" if plan.disabled else ""
    where = ", ".join(map(bracketed, plan.server.listen))
    return (
        f"{count(len(plan.providers), 'provider')}{off}, {count(len(plan.virtual_models), 'virtual model')}, "
        f"listens on {where} port {plan.server.port}"
    )


def _print_json(loaded: Loaded, probes: list[Probe], good: bool) -> None:
    import json

    from oxllm.config.compile import problem_json

    answer: dict[str, object] = {
        "ok": good,
        "errors": [problem_json(problem) for problem in loaded.errors],
        "warnings": [problem_json(problem) for problem in loaded.warnings],
        "notes": [problem_json(problem) for problem in loaded.notes],
    }
    if probes:
        answer["probes"] = [probe.as_json() for probe in probes]
    click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
