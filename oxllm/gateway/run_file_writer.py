"""Writes the run file, by which the command line finds this gateway (`oxllm/runfile.py` reads it)."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Sequence

import msgspec

from oxllm import __version__, runfile
from oxllm import plan as plans
from oxllm.gateway.networks import Networks
from oxllm.gateway.observe.log import Log
from oxllm.words import reached_at

KEPT_S = 60.0
"""Seconds between checks that the run file is still there."""


class RunFileWriter:
    """Tells the command line where to find us. If it cannot be written we serve anyway: commands also take a URL."""

    def __init__(self, sockets: Sequence[socket.socket], log: Log) -> None:
        self._port = int(sockets[0].getsockname()[1])
        self._listen = tuple(dict.fromkeys(host for sock in sockets for host in _hosts(sock)))
        self._log = log
        self._started = time.time()
        self._written: runfile.Written | None = None
        self._run: runfile.RunFile | None = None
        self._said = ""
        """The last reason why the run file could not be written. Each minute, each reload and the drain try again; a
        reason that stays the same is logged once."""

    def write(self, plan: plans.Plan) -> None:
        """Write the run file, or update it from another config."""
        self._put(
            runfile.RunFile(
                pid=os.getpid(),
                start_time=runfile.start_time(os.getpid()),
                started=self._started,
                host=self._host(plan.server.admin_allow),
                port=self._port,
                admin_token=plan.server.admin_token,
                config=plan.source,
                listen=self._listen,
                drain_s=plan.server.drain_delay + plan.server.drain_timeout,
                draining=None if self._run is None else self._run.draining,
                version=__version__,
            )
        )

    def _host(self, admin_allow: Sequence[str]) -> str:
        """The address for local commands: if possible one in `admin_allow`, since they also connect from it."""
        hosts = [reached_at(host) for host in self._listen]
        allowed = Networks(admin_allow)
        return next((host for host in hosts if host in allowed), hosts[0])

    def keep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write it again whenever it has gone: cleaners delete what is old in /tmp, and a user's $XDG_RUNTIME_DIR goes
        with the last session. Where it could not be written, this tries again."""
        if self._run is not None and (self._written is None or not self._written.is_there()):
            self._put(self._run)
        loop.call_later(KEPT_S, self.keep, loop)

    def drains(self, left_s: float, requests: int) -> None:
        """The gateway is draining, and will soon answer nothing."""
        if self._run is not None:
            draining = runfile.Draining(time.time() + left_s, requests)
            self._put(msgspec.structs.replace(self._run, draining=draining))

    def _put(self, run: runfile.RunFile) -> None:
        self._run = run
        try:
            if self._written is None:
                self._written = runfile.write(runfile.directory(os.environ), run)
            else:
                self._written.replace(run)
            self._said = ""
        except OSError as error:
            why, pid, where = str(error.strerror or error), os.getpid(), runfile.directory(os.environ)
            if why != self._said:
                self._said = why
                advice = f"so commands need --url, and `oxllm stop` --pid {pid}"
                self._log.event("warning", f"no run file in {where}, {advice}: {why}")

    def remove(self) -> None:
        """Delete the run file: the process ends."""
        if self._written is not None:
            self._written.remove()


def _hosts(sock: socket.socket) -> tuple[str, ...]:
    """The address of a listener; two for a dual-stack wildcard."""
    host = str(sock.getsockname()[0])
    both = host == "::" and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return ("::", "0.0.0.0") if both else (host,)  # noqa: S104
