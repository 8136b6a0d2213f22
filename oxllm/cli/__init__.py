"""The command line: one file a command, imported when it is called, so that `oxllm --help` stays quick."""

from __future__ import annotations

import os
from importlib import import_module

import click

from oxllm import __version__

COMMANDS = (
    *("serve", "validate", "status", "reload", "stop", "provider", "explain", "sim"),
    *("init", "schema", "completion"),
)
"""In the order that the help shows: a module of this package each, whose `command` it is."""


class Commands(click.Group):
    """A group whose commands are modules."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"oxllm.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(
    name="oxllm", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(__version__, prog_name="oxllm")
@click.pass_context
def main(context: click.Context) -> None:
    """One OpenAI-compatible address in front of a failing-over pool of providers."""
    if os.environ.get("NO_COLOR"):
        context.color = False
