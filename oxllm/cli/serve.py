"""`oxllm serve`: read, expand, validate, then become the gateway."""

from __future__ import annotations

import os
import sys

import click

from oxllm.cli.options import Failure, config_option, load_config
from oxllm.cli.report import say
from oxllm.early import end_at_once
from oxllm.params import Host, Whole


@click.command()
@config_option
@click.option("--demo", is_flag=True, help="No configuration: two simulated providers, one of which fails often.")
@click.option("--host", type=Host(), metavar="HOST", help="Address or name to bind, over the file's.")
@click.option("-p", "--port", type=Whole(0, 65535), metavar="PORT", help="Port, over the file's; 0 is any free one.")
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="One line a request, on stderr.",
)
def command(config: str | None, demo: bool, host: str | None, port: int | None, log_format: str) -> None:
    """Run the gateway in the foreground.

    SIGTERM or Ctrl-C lets it finish what is in flight, SIGHUP makes it read its configuration again. Exit: 0
    after that, 1 when the configuration is bad or its address taken.
    """
    end_at_once()
    if sys.platform == "win32":
        raise Failure(
            "the gateway needs Linux or macOS; on Windows run it in WSL: https://learn.microsoft.com/windows/wsl"
        )
    if demo and config:
        raise click.UsageError("--demo has a configuration of its own: leave out --config")
    from oxllm.cli.handoff import become_gateway

    if demo:
        from oxllm.cli.demo import start_demo

        become_gateway(start_demo(host, port), log_format)
    import msgspec

    from oxllm.config.compile import SERVE_HOST, SERVE_PORT

    for name, value in ((SERVE_HOST, host), (SERVE_PORT, port)):
        if value is not None:
            os.environ[name] = str(value)  # so that a reload has it as well

    given = [f"--{name}" for name, value in (("host", host), ("port", port)) if value is not None]
    if given and os.environ.get("LISTEN_PID") == str(os.getpid()):  # sd_listen_fds(3); the exec keeps the pid
        verb = "does" if len(given) == 1 else "do"
        say(f"warning: the service manager has bound the address, so {' and '.join(given)} {verb} nothing", "warning")
    plan = load_config(config).plan
    assert plan is not None, "load_config ends the command when there is none"
    become_gateway(msgspec.structs.replace(plan, warnings=()), log_format)  # they were printed already
