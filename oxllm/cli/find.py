"""Which gateway a command means.

`--url` or `--port`; `$OXLLM_URL` or `$OXLLM_PORT`; one's own run file; one in /run/oxllm; 127.0.0.1 at the
configured port, or 8080. Several run files and no choice made: they are listed, and the exit is 2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import click
import msgspec

from oxllm import plan, runfile
from oxllm.cli.options import Ambiguous
from oxllm.runfile import RunFile

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class Gateway(msgspec.Struct, frozen=True):
    """A gateway that may be running."""

    url: str
    """Without a trailing slash."""
    token: str | None = None
    pid: int | None = None
    """None when there is no run file of it."""

    def __repr__(self) -> str:
        return f"Gateway(url={self.url!r}, pid={self.pid})"


def find(url: str | None, port: int | None, env: Mapping[str, str] | None = None) -> Gateway:
    """The gateway that is meant. Raises click.UsageError for a contradiction, Ambiguous if several run."""
    env = os.environ if env is None else env
    if url and port:
        raise click.UsageError("--url and --port name two gateways: give one of them")
    if not url and not port:
        url, port = env.get("OXLLM_URL"), _port(env.get("OXLLM_PORT"))
    if url or port:
        return _at(url or f"http://127.0.0.1:{port}", running(env))
    for directory in _directories(env):
        if runs := runfile.read_all(directory):
            return _of(_only(runs))
    return _configured(env)


def by_pid(pid: int, env: Mapping[str, str] | None = None) -> Gateway | None:
    """The gateway with this process number, if it has a run file."""
    runs = running(os.environ if env is None else env)
    return next((_of(run) for run in runs if run.pid == pid), None)


def running(env: Mapping[str, str]) -> list[RunFile]:
    """All gateways with a run file that this user can read."""
    return [run for directory in _directories(env) for run in runfile.read_all(directory)]


def _directories(env: Mapping[str, str]) -> list[str]:
    return list(dict.fromkeys((runfile.directory(env), runfile.SYSTEM_DIRECTORY))) if os.name == "posix" else []


def _of(run: RunFile) -> Gateway:
    return Gateway(f"http://{_bracketed(run.host)}:{run.port}", run.admin_token, run.pid)


def _at(url: str, runs: list[RunFile]) -> Gateway:
    """The gateway at `url`, with token and process from its run file if it is one of this machine."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise click.UsageError(f"{url!r} is not a URL") from None
    if not host or parts.scheme not in ("http", "https"):
        raise click.UsageError(f"{url!r} is not an http URL")
    run = next((run for run in runs if run.port == port and host in (run.host, *LOCAL_HOSTS)), None)
    address = f"{parts.scheme}://{_bracketed(host)}:{port}{parts.path.rstrip('/')}"
    return Gateway(address, run.admin_token if run else None, run.pid if run else None)


def _only(runs: list[RunFile]) -> RunFile:
    if len(runs) == 1:
        return runs[0]
    rows = [f"  --port {run.port:<5}  pid {run.pid:<7}  {run.config or '(demo)'}" for run in runs]
    raise Ambiguous("\n".join(["several gateways are running; say which one:", *rows]))


def _configured(env: Mapping[str, str]) -> Gateway:
    """Where the configuration says that it listens; a configuration that cannot be read says nothing."""
    from oxllm.config.compile import load
    from oxllm.config.locate import NoConfigError, locate

    try:
        loaded = load(locate(None, env), env)
    except NoConfigError:
        loaded = None
    server = loaded.plan.server if loaded and loaded.plan else plan.Server()
    return Gateway(f"http://127.0.0.1:{server.port or plan.Server().port}", server.admin_token)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 65535:
        raise click.UsageError(f"OXLLM_PORT={text!r} is not a port")
    return int(text)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
