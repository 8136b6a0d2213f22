"""`oxllm reload`: have the gateway read its configuration again, and show the result."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

import click

from oxllm.cli.options import Failure, gateway_options, pid_option
from oxllm.words import count

_SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command(short_help="Read the configuration again.")
@gateway_options
@pid_option
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
def command(url: str | None, port: int | None, pid: int | None, dry_run: bool) -> None:
    """Make the running gateway read its configuration again.

    A configuration with errors is refused, and the one that runs goes on. Exit: 0, 1 when refused, 3 when no
    gateway is running.
    """
    from oxllm.cli.client import call_json, greet
    from oxllm.cli.signals import choose, process_of

    gateway = choose(url, port, pid)
    if not gateway.url:
        with process_of(gateway, pid) as process:
            if dry_run:
                raise Failure(f"process {pid} has no run file to be asked through: give --url or --port")
            process.send(signal.SIGHUP)
        click.echo(f"sent SIGHUP to process {pid}; its log says what came of it")
        return
    greet(gateway)
    answer = call_json(gateway, "POST", f"/reload{'?dry_run=1' if dry_run else ''}")
    if answer.get("ok") is not True:
        _refused(answer)
    _print_diff(answer.get("diff") or {}, dry_run)
    for warning in answer.get("warnings") or []:
        click.echo(warning, err=True)


def _refused(answer: Mapping[str, Any]) -> None:
    """Ends the command."""
    error = answer.get("error")
    problems = answer.get("errors") or [error.get("message") if isinstance(error, dict) else "no reason given"]
    for problem in problems:
        click.echo(problem.get("text") or problem.get("message") if isinstance(problem, dict) else problem, err=True)
    raise Failure(f"refused, the running configuration stays ({count(len(problems), 'error')})")


def _print_diff(diff: Mapping[str, list[str]], dry_run: bool) -> None:
    lines = [f"  {sign} {item}" for key, sign in _SIGNS.items() for item in diff.get(key) or []]
    restart = [f"  needs a restart: {item}" for item in diff.get("restart") or []]
    if not lines and not restart:
        click.echo("nothing would change" if dry_run else "reloaded, nothing changed")
        return
    click.echo("this would change:" if dry_run else "reloaded:")
    for line in lines + restart:
        click.echo(line)
