"""Finds the gateway that a command is for, and decides what to trust.

In this order: `--url` or `--port`; `$OXLLM_URL` or `$OXLLM_PORT`; the user's own run file; one in /run/oxllm; 127.0.0.1
at the configured port, or 8080. If several fit, they are listed with what to type, and the exit code is 2.

Anybody may be listening on a port. So the admin token of a run file is sent only to the address in that file, and only
a run file is trusted to say which process serves. `$OXLLM_ADMIN_TOKEN` is sent to where `--url` or `$OXLLM_URL` says.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import click
import msgspec

from oxllm import plan, runfile
from oxllm.cli import TYPED
from oxllm.cli.options import Ambiguous
from oxllm.runfile import RunFile
from oxllm.words import bracketed, reached_at

LOCALHOST = frozenset({"127.0.0.1", "::1"})


class Gateway(msgspec.Struct, frozen=True):
    """A gateway that may be running."""

    url: str
    """Without a trailing slash; empty if only the process is known."""
    token: str | None = None
    run: RunFile | None = None
    """None if it has no run file."""

    def __repr__(self) -> str:
        return f"Gateway(url={self.url!r}, run={self.run!r})"


def find(url: str | None, port: int | None, env: Mapping[str, str] | None = None) -> Gateway:
    """The gateway to use. Raises click.UsageError for contradictory options, Ambiguous if several are running."""
    env = os.environ if env is None else env
    if url and port:
        raise click.UsageError("--url and --port name two gateways: give one of them")
    if not url and not port:
        url, port = env.get("OXLLM_URL"), _port(env.get("OXLLM_PORT"))
    if url:
        return _at_url(url, running(env), env.get("OXLLM_ADMIN_TOKEN") or None)
    if port:
        return _at_port(port, running(env))
    for directory in _directories(env):
        if runs := runfile.read_all(directory):
            return of(_only(runs))
    return _configured(env)


def by_pid(pid: int) -> Gateway | None:
    """The gateway with this process id, if it has a run file."""
    return next((of(run) for run in running(os.environ) if run.pid == pid), None)


def running(env: Mapping[str, str]) -> list[RunFile]:
    """All gateways with a run file that this user can read."""
    return [run for directory in _directories(env) for run in runfile.read_all(directory)]


def again(gateway: Gateway) -> RunFile | None:
    """Its run file, read again; None if that is gone, or there never was one."""
    if gateway.run is None:
        return None
    which = gateway.run.pid, gateway.run.start_time
    return next((run for run in running(os.environ) if (run.pid, run.start_time) == which), None)


def of(run: RunFile) -> Gateway:
    """The gateway of a run file."""
    return Gateway(f"http://{bracketed(run.host)}:{run.port}", run.admin_token, run)


def frozen(pid: int) -> str:
    """What to do about a process that a signal has stopped; empty if none has."""
    if not runfile.is_stopped(pid):
        return ""
    return f"process {pid} has been stopped (SIGSTOP): `kill -CONT {pid}` lets it go on"


def _directories(env: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys((runfile.directory(env), runfile.SYSTEM_DIRECTORY))) if os.name == "posix" else []


def _at_port(port: int, runs: list[RunFile]) -> Gateway:
    mine = [run for run in runs if run.port == port]
    return of(_only(mine)) if mine else Gateway(f"http://127.0.0.1:{port}")


def _at_url(url: str, runs: list[RunFile], token: str | None) -> Gateway:
    """The gateway at `url`, with token and process from its run file if it is on this machine."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise click.UsageError(f"{url!r} is not a URL") from None
    if not host or parts.scheme not in ("http", "https"):
        raise click.UsageError(f"{url!r} is not an http URL")
    there = [run for run in runs if parts.scheme == "http" and run.port == port and _serves(run, host)]
    if there:
        known = of(_only(there))
        return msgspec.structs.replace(known, token=token or known.token)
    return Gateway(f"{parts.scheme}://{bracketed(host)}:{port}{parts.path.rstrip('/')}", token)


def _serves(run: RunFile, host: str) -> bool:
    """Is `host` an address of this gateway, as far as its run file tells?"""
    own = {reached_at(address) for address in (run.host, *run.listen)}
    return host in own or (host == "localhost" and not own.isdisjoint(LOCALHOST))


def _only(runs: Sequence[RunFile]) -> RunFile:
    if len(runs) == 1:
        return runs[0]
    rows = [(_to_type(run, runs), f"pid {run.pid}", run.config or "(demo)") for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"  {typed:<{widths[0]}}   {pid:<{widths[1]}}   {config}" for typed, pid, config in rows]
    raise Ambiguous("\n".join(["several gateways are running; say which one:", *lines]))


def _to_type(run: RunFile, runs: Sequence[RunFile]) -> str:
    """The command line that selects only this gateway."""
    unique = sum(other.port == run.port for other in runs) == 1
    choice = ["-p", str(run.port)] if unique else ["--url", of(run).url]
    context = click.get_current_context(silent=True)
    typed = context.meta.get(TYPED, []) if context is not None else []
    return shlex.join(["oxllm", *_without_choice(typed), *choice])


def _without_choice(typed: Sequence[str]) -> list[str]:
    """The words of the command up to any `--`, without those that select a gateway."""
    kept: list[str] = []
    words = iter(typed)
    for word in words:
        if word in ("-p", "--port", "--url"):
            next(words, None)
        elif word == "--":
            break
        elif not word.startswith(("--port=", "--url=")):
            kept.append(word)
    return kept


def _configured(env: Mapping[str, str]) -> Gateway:
    """The gateway at the configured port, or the default one if the configuration cannot be read.

    The configured admin token is not used: what answers there need not be ours.
    """
    from oxllm.config.compile import load
    from oxllm.config.locate import NoConfigError, locate

    try:
        loaded = load(locate(None, env), env)
    except NoConfigError:
        loaded = None
    server = loaded.plan.server if loaded and loaded.plan else plan.Server()
    return Gateway(f"http://127.0.0.1:{server.port or plan.Server().port}")


def _port(text: str | None) -> int | None:
    from oxllm.config.urls import is_port

    if not text:
        return None
    if not is_port(text):
        raise click.UsageError(f"OXLLM_PORT={text!r} is not a port")
    return int(text)
