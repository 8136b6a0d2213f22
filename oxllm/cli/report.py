"""How findings look on a terminal: the place first, so that it can be clicked or grepped, wrapped at 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

import click

from oxllm.config.problem import Problem

WIDTH = 80
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def print_problems(problems: Iterable[Problem]) -> None:
    """Each finding on stderr: `file:line: severity: key`, then what is wrong and what to write instead."""
    for problem in problems:
        severity = click.style(problem.severity, fg=_COLOURS[problem.severity], bold=True)
        head = f"{problem.place}: {severity}:"
        click.echo(f"{head} {problem.key}" if problem.key else head, err=True)
        click.echo(indented(problem.message), err=True)
        if problem.help:
            click.echo(indented(f"help: {problem.help}"), err=True)


def indented(text: str, by: int = 4) -> str:
    """Text as a paragraph under a heading. Long words are left whole: they are what one copies."""
    margin = " " * by
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
