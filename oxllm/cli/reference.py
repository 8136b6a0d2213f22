"""Generates the help of all commands in docs/cli.md, and the manual page.

`python -m oxllm.cli.reference docs/cli.md` rewrites it between two marks; a test keeps it current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from oxllm.cli import main as oxllm
from oxllm.cli import manual
from oxllm.config.reference import insert

BEGIN = "<!-- commands: made by `python -m oxllm.cli.reference`, do not edit -->"
END = "<!-- end of commands -->"


def render() -> str:
    """Markdown: a heading for each command, and its help as in a terminal."""
    blocks = [f"### {path}\n\n```text\n{text}\n```\n" for path, text in _helps(oxllm, "oxllm", None)]
    return "\n".join(blocks)


def _helps(command: click.Command, path: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=path.rpartition(" ")[2], parent=parent, **oxllm.context_settings)
    context.terminal_width = 80
    yield path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, "it lists only what it has"
            yield from _helps(inner, f"{path} {name}", context)


def write(arguments: list[str]) -> int:
    """Write the help into the given files, and the manual page of their checkout; without files print the help."""
    for name in arguments:
        file = Path(name)
        file.write_text(insert(file.read_text(encoding="utf-8"), render(), BEGIN, END), encoding="utf-8")
        page = file.resolve().parents[1] / "contrib" / "man" / "oxllm.1"
        if page.exists():
            page.write_text(manual.render(), encoding="utf-8")
    if not arguments:
        sys.stdout.write(render())
    return 0


if __name__ == "__main__":
    sys.exit(write(sys.argv[1:]))
