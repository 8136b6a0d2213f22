"""Prints problems on a terminal: the place comes first, so that it can be clicked or grepped, wrapped at 80 columns."""

from __future__ import annotations

import contextlib
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator

import click

from oxllm.cli import JSON_LOG
from oxllm.config.excerpt import ELLIPSIS
from oxllm.config.problem import Problem
from oxllm.words import text_width

WIDTH_MAX = 80
"""Most columns of a paragraph: longer lines are hard to read."""
_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def say(line: str, kind: str = "error") -> None:
    """Print a line to stderr, as JSON if the log is JSON. If the disk is full, only the line is lost."""
    context = click.get_current_context(silent=True)
    if context is not None and context.meta.get(JSON_LOG):
        line = json_line(kind, click.unstyle(line))
    with contextlib.suppress(OSError):
        click.echo(line, err=True)


def json_line(kind: str, message: str) -> str:
    """In the format of the gateway's log."""
    import json
    import time

    return json.dumps({"time": time.time(), "event": kind, "message": message})


def print_problems(problems: Iterable[Problem]) -> None:
    """Print each problem to stderr: `file:line: severity: key`, what is wrong, the line, and what to write instead."""
    context = click.get_current_context(silent=True)
    as_json = context is not None and context.meta.get(JSON_LOG)
    for problem in problems:
        if as_json:
            say(str(problem), problem.severity)
        else:
            _print(problem)


def _print(problem: Problem) -> None:
    severity = click.style(problem.severity, fg=_COLOURS[problem.severity], bold=True)
    head = f"{problem.place}: {severity}:"
    say(f"{head} {problem.key}" if problem.key else head)
    say(indented(problem.message))
    for line in _excerpt(problem):
        say(line)
    if problem.help:
        say(indented(f"help: {problem.help}"))


def _excerpt(problem: Problem) -> Iterator[str]:
    """The line of the file with the place underlined; a long line is cut to the part around it."""
    excerpt = problem.excerpt
    if excerpt is None or not excerpt.text.strip():
        return
    gutter = f"    {problem.line} | "
    room = width() - len(gutter)
    end = excerpt.column + excerpt.width + len(ELLIPSIS)
    cut = max(0, min(excerpt.column - len(ELLIPSIS), len(excerpt.text) - room, end - room))
    text = excerpt.text[cut : cut + room]
    if cut:
        text = ELLIPSIS + text[1:]
    if cut + room < len(excerpt.text):
        text = text[:-1] + ELLIPSIS
    before, marked = text[: excerpt.column - cut], text[excerpt.column - cut :][: excerpt.width]
    caret = click.style("^" * max(1, text_width(marked)), fg=_COLOURS[problem.severity], bold=True)
    yield click.style(gutter, fg="blue") + text
    yield click.style(" " * (len(gutter) - 2) + "| ", fg="blue") + " " * text_width(before) + caret


def width() -> int:
    """Columns to use: the terminal's, from 40 to 80."""
    columns = shutil.get_terminal_size((WIDTH_MAX, 24)).columns if sys.stderr.isatty() else WIDTH_MAX
    return max(40, min(columns, WIDTH_MAX))


def indented(text: str) -> str:
    """Text as an indented paragraph. Long words are not broken, so that they can be copied."""
    margin = " " * 4
    return textwrap.fill(
        text,
        width(),
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
