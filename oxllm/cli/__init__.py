"""The command line: one module per command, imported when it is called, so that `oxllm --help` stays fast."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from itertools import pairwise
from typing import Any

import click

from oxllm import __version__
from oxllm.cli.built import built

COMMANDS = (
    *("serve", "validate", "status", "requests", "explain", "provider", "reload", "stop", "sim"),
    *("init", "adapt", "schema", "completion", "doctor", "report-bug"),
)
"""In the order of the help. Each is the `command` of a module in this package."""


_MODULES = {"report-bug": "bug"}
"""Commands whose module has another name."""

ELSEWHERE = {
    **dict.fromkeys(("start", "run", "up"), "serve"),
    **dict.fromkeys(("check", "config", "lint", "test"), "validate"),
    **dict.fromkeys(("restart", "refresh"), "reload"),
    **dict.fromkeys(("shutdown", "kill", "quit", "down"), "stop"),
    **dict.fromkeys(("ps", "top", "info", "list", "ls"), "status"),
    **dict.fromkeys(("log", "logs", "history"), "requests"),
    **dict.fromkeys(("version",), "--version"),
    **dict.fromkeys(("help",), "--help"),
}
"""A command's name in other programs -> its name here."""

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of a write that are not the command's fault."""

TYPED = "oxllm.typed"
"""Key of a click context's `meta`: the words of the command line."""


JSON_LOG = "oxllm.json_log"
"""Another one: every line on stderr must be JSON."""


class Commands(click.Group):
    """A group whose commands are modules."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Keep the words as typed: a message may suggest them again with an option added."""
        typed = list(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[TYPED], context.meta[JSON_LOG] = typed, _wants_json_log(typed)
        return context

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> Any:
        """Run. A failed write (to a full disk) is reported in one line on stderr, with exit code 1."""
        try:
            return self._main(args, *rest, **more)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            with contextlib.suppress(OSError):
                click.echo(f"oxllm: cannot write: {os.strerror(error.errno).lower()}", err=True)
            _drop_output()
            sys.exit(1)

    def _main(self, args: Sequence[str] | None, *rest: Any, **more: Any) -> Any:
        """Run; with `--log-format json` the error that ends a command is JSON as well."""
        words = list(sys.argv[1:] if args is None else args)
        if not _wants_json_log(words):
            return super().main(words, *rest, **more)
        try:
            code = super().main(words, *rest, **{**more, "standalone_mode": False})
        except click.ClickException as error:
            from oxllm.cli.report import json_line

            with contextlib.suppress(OSError):
                click.echo(json_line("error", error.format_message()), err=True)
            sys.exit(error.exit_code)
        except click.Abort:
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Refuse a command that does not exist, naming the one that was probably meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name.lower(), COMMANDS, n=1)
            meant = f"did you mean {close[0]}?" if close else "`oxllm --help` lists them"
            raise click.UsageError(f"there is no command {name!r}; {meant}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. If it was given a file without -c, the error says so."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            options = error.ctx.command.params if error.ctx is not None else []
            if "extra argument" in error.message and any(option.name == "config" for option in options):
                advice = f"{error.message}; a configuration is given as -c FILE"
                raise click.UsageError(advice, error.ctx) from None
            raise

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"oxllm.cli.{_MODULES.get(cmd_name, cmd_name)}").command
        assert isinstance(command, click.Command)
        return command


def _drop_output() -> None:
    """Discard what stdout still buffers, so that Python does not fail on it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wants_json_log(words: Sequence[str]) -> bool:
    """Is `--log-format json` among them? Searched before parsing, which may fail."""
    return "--log-format=json" in words or ("--log-format", "json") in pairwise(words)


@click.group(
    name="oxllm", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(
    __version__, "-V", "--version", prog_name="oxllm", message=f"%(prog)s, version %(version)s ({built()})"
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    help="Colours. Default: $NO_COLOR, $FORCE_COLOR, else where the output is a terminal.",
)
@click.pass_context
def main(context: click.Context, color: str | None) -> None:
    """One OpenAI-compatible address in front of a failing-over pool of providers."""
    context.color = wants_color(color, os.environ)


def wants_color(given: str | None, env: Mapping[str, str]) -> bool | None:
    """True, False, or None: only on a terminal (https://no-color.org, https://force-color.org)."""
    if given is not None and given != "auto":
        return given == "always"
    if given is None and env.get("NO_COLOR"):
        return False
    if given is None and env.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return None
