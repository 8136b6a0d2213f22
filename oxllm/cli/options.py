"""Options shared by several commands, and the errors that end them, with their exit codes."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from oxllm.cli.report import print_problems
from oxllm.params import Whole
from oxllm.words import count
from oxllm.words import draining as drain_words

if TYPE_CHECKING:
    from oxllm.config.compile import Loaded
    from oxllm.runfile import Draining, RunFile

P = ParamSpec("P")
R = TypeVar("R")

FILE = click.Path(readable=False)
"""Access is not checked here: a file that cannot be read or written is no usage error, but exit code 1."""
config_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    type=FILE,
    help="Configuration file. Default: $OXLLM_CONFIG, ./config.toml, $XDG_CONFIG_HOME/oxllm/config.toml.",
)


def gateway_options(command: Callable[P, R]) -> Callable[P, R]:
    """Options to select a running gateway. Without them, see `find`."""
    port = click.option(
        "-p", "--port", type=Whole(1, 65535), metavar="PORT", help="Port of the gateway on this machine."
    )
    url = click.option(
        "--url", metavar="URL", help="URL of the gateway. Default: $OXLLM_URL, $OXLLM_PORT, its run file."
    )
    return url(port(command))


def json_option(command: Callable[..., R]) -> Callable[..., R]:
    """`--json`, or `-o json` as in other tools: both become the argument `as_json`."""

    @functools.wraps(command)
    def wrapped(*arguments: Any, as_json: bool, output: str, **more: Any) -> R:
        return command(*arguments, as_json=as_json or output == "json", **more)

    kinds = click.Choice(["text", "json"])
    output = click.option("-o", "--output", type=kinds, default="text", show_default=True, help="What to print.")
    return click.option("--json", "as_json", is_flag=True, help="The same as -o json: for programs.")(output(wrapped))


pid_option = click.option("--pid", type=Whole(1), metavar="PID", help="Process number of the gateway.")


class Failure(click.ClickException):
    """Ends a command with a message on stderr and exit code 1."""

    def show(self, file: object = None) -> None:
        """Print it."""
        with contextlib.suppress(OSError):  # a full disk
            click.echo(f"oxllm: {self.message}", err=True)


class NotRunning(Failure):
    """No gateway is running: exit code 3."""

    exit_code = 3


class Leaving(Failure):
    """The gateway is draining and has closed its listener: exit code 1."""

    def __init__(self, run: RunFile, draining: Draining) -> None:
        self.run, self.draining = run, draining
        left = drain_words(draining.requests, draining.until - time.time())
        super().__init__(f"{left}: process {run.pid} takes no more questions")


class Ambiguous(Failure):
    """Several are running, and none was selected: exit code 2, as for other usage errors."""

    exit_code = 2


def load_config(given: str | None) -> Loaded:
    """Find and load the configuration, and print its problems. Raises Failure if it has errors."""
    loaded = read_config(given)
    print_problems((*loaded.errors, *loaded.warnings))
    if loaded.errors:
        raise Failure(f"{count(len(loaded.errors), 'error')} in the configuration")
    return loaded


class NoConfiguration(Failure):
    """There is no configuration file: exit code 1."""


def read_config(given: str | None) -> Loaded:
    """Find and load the configuration, printing nothing. Raises NoConfiguration if there is no file."""
    from oxllm.config.compile import load
    from oxllm.config.locate import NoConfigError, locate

    try:
        return load(locate(given, os.environ), os.environ)
    except NoConfigError as error:
        raise NoConfiguration(str(error)) from None
