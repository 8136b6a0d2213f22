"""The life of the serving process: plan in, sockets bound, signals, drain, exit.

`oxllm serve` has validated the config and replaced itself with this process (`python -P -m oxllm.gateway`),
which therefore imports nothing but the stdlib, httptools, msgspec and oxllm's own plan, core and gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from oxllm import __version__, runfile
from oxllm import plan as plans
from oxllm.gateway import systemd
from oxllm.gateway.assembly import Gateway
from oxllm.gateway.client.connection import CROWD_MAX
from oxllm.gateway.later import once_loaded
from oxllm.gateway.memory import Trimmer
from oxllm.gateway.networks import Networks
from oxllm.gateway.observe.complaints import Complaints
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.sink import sink_of
from oxllm.gateway.reactor.sockets import accept, loop_maker
from oxllm.words import bracketed, reached_at

BACKLOG = 1024
"""The listen backlog (capped by net.core.somaxconn): 1,000 clients that connect at once are all queued."""
ACCEPTED_AT_ONCE = 64
"""Connections accepted per turn of the loop: those over the limit are closed before more are accepted."""
FDS_OF_OUR_OWN = 64 + CROWD_MAX + ACCEPTED_AT_ONCE
"""64 for listeners, epoll, log, run file, a reload child's pipes and DNS. Of the rest, each connection takes two."""
ROTATION = "SIGUSR1 reopens no log, since the log is stderr, which is never closed: have logrotate use copytruncate"
"""Logged on SIGUSR1, at which other servers reopen their logs; its default action would kill the process silently."""
KEPT_S = 60.0
"""Seconds between checks that the run file is still there."""
FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
"""`dual`, which is both, is not in it."""
Address = tuple[Any, ...]
"""As getaddrinfo returns it: host, port, and for IPv6 flow info and scope id."""


class BindError(OSError):
    """A listener could not be made. The message names the address and what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to stop. Returns the exit code: 0 after a drain, 1 for a bad plan or an address in use."""
    options = _options(sys.argv[1:] if argv is None else argv)
    try:
        plan = _read_plan(int(options.get("plan-fd", "-1")))
        new_loop = loop_maker(os.environ.get("OXLLM_SOCKETS", ""))
        sockets = systemd.sockets() or listen(plan.server)
    except (plans.PlanError, BindError, ValueError) as error:
        _complain(str(error), options.get("log-format") == "json")
        return 1
    return _run(new_loop(), plan, sockets, json_log=options.get("log-format") == "json")


def _complain(message: str, as_json: bool) -> None:
    """Say why it does not start. If even that cannot be written (a full disk), exit without a traceback."""
    event = {"time": time.time(), "event": "error", "message": message}
    line = msgspec.json.encode(event).decode() if as_json else f"oxllm: {message}"
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _options(argv: Sequence[str]) -> dict[str, str]:
    """`--name value` pairs: the only caller is `oxllm serve`, whose own options are checked by click."""
    return {name.removeprefix("--"): value for name, value in zip(argv[::2], argv[1::2], strict=False)}


def _read_plan(fd: int) -> plans.Plan:
    """The Plan read from `fd`, which is closed afterwards. Raises PlanError."""
    try:
        with open(fd, "rb") as file:
            file.seek(0)
            return plans.decode(file.read())
    except OSError as error:
        raise plans.PlanError(f"--plan-fd {fd} is not readable ({error.strerror}); start with `oxllm serve`") from None


def listen(server: plans.Server) -> list[socket.socket]:
    """Bound, listening sockets for all of `server.listen`, all on one port. Raises BindError."""
    sockets: list[socket.socket] = []
    port = server.port
    try:
        for host in server.listen:
            for family, address in _addresses(host, server.bind_family):
                sockets.append(_bind(family, address, port, server.bind_family == "dual"))
                port = sockets[-1].getsockname()[1]  # with port 0 the first one chooses for all
    except BindError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _addresses(host: str, bind_family: str) -> list[tuple[socket.AddressFamily, Address]]:
    """The addresses of `host` in `bind_family`, without duplicates: a name may have several. Raises BindError.

    An ASCII name is passed as bytes: for a `str`, CPython loads its IDNA tables (see `upstream/resolver.py`).
    """
    family = FAMILIES.get(bind_family, socket.AF_UNSPEC)
    name = host.encode() if host.isascii() else host
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_STREAM)
    except OSError as error:
        raise BindError(f"cannot bind {host}: {error.strerror}; look at server.host") from None
    return list(dict.fromkeys((entry[0], entry[4]) for entry in found))


def _bind(family: socket.AddressFamily, address: Address, port: int, dual: bool) -> socket.socket:
    host = str(address[0])
    where = f"{bracketed(host)}:{port}"
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # TCP: asyncio sets TCP_NODELAY
    except OSError as error:
        raise BindError(f"cannot bind {where}: {error.strerror}{_advice(error)}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not (dual and host == "::"))
        sock.bind((host, port, *address[2:]))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise BindError(f"cannot bind {where}: {error.strerror}{_advice(error)}") from None
    return sock


def _advice(error: OSError) -> str:
    """What the operator can do about it."""
    if error.errno == errno.EADDRINUSE:
        return "; is another oxllm running (`oxllm status`)? Else set server.port, or give --port"
    if error.errno == errno.EACCES:
        return "; ports under 1024 are for root and CAP_NET_BIND_SERVICE: set server.port, or give --port"
    if error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
        return "; this machine has no such address: look at server.host and server.bind_family"
    return ""


def raise_file_limit(server: plans.Server) -> tuple[int, str | None]:
    """Raise the soft limit on open files to the hard one.

    Returns how many connections fit, and a warning if that is fewer than `max_connections`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # macOS refuses "unlimited"; the limit that stays decides below
    fit = server.max_connections if soft == resource.RLIM_INFINITY else (soft - FDS_OF_OUR_OWN) // 2
    if fit >= server.max_connections:
        return server.max_connections, None
    fit = max(fit, 1)
    return fit, f"max_connections lowered from {server.max_connections} to {fit}: only {soft} open files"


def _run(loop: asyncio.AbstractEventLoop, plan: plans.Plan, sockets: list[socket.socket], json_log: bool) -> int:
    asyncio.set_event_loop(loop)
    rng = random.Random()  # seeded by the system; tests hand in their own
    log = Log(loop, sink_of(2), time.time, json_log)
    connections, warning = raise_file_limit(plan.server)
    gateway = Gateway(loop, plan, log, rng, time.time, connections=connections)
    complaints = Complaints(gateway.journal)
    complaints.listen()
    loop.set_exception_handler(complaints)
    drain, run = gateway.drain, RunFileWriter(sockets, log)
    drain.report = run.drains
    gateway.vitals.addresses = tuple(map(_url, sockets))
    make = gateway.server.protocol
    drain.listeners = [loop.run_until_complete(accept(sock, make, ACCEPTED_AT_ONCE, BACKLOG)) for sock in sockets]

    def adopt(plan: plans.Plan) -> None:
        connections, warning = raise_file_limit(plan.server)
        gateway.adopt(plan, connections)
        if warning:
            log.event("warning", warning)
        run.write(plan)

    reloader = gateway.reload_from(os.environ, adopt)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.signal)
    loop.add_signal_handler(signal.SIGUSR1, log.event, "warning", ROTATION)
    loop.add_signal_handler(signal.SIGHUP, gateway.admin.hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `oxllm serve` blocks it before it reads the config
    log.events("warning", [*([warning] if warning else []), *plan.warnings])
    trimmer = Trimmer(loop, gateway.load, gateway.compact, gateway.loading)
    run.write(plan)
    loop.call_later(KEPT_S, run.keep, loop)
    log.event("ready", f"listening on {', '.join(gateway.vitals.addresses)}")
    systemd.notify("READY=1")
    gc.collect()
    gc.freeze()  # start-up's objects live for ever: keep the collector off them
    trimmer.start()
    gateway.runtime.tidy = trimmer.tidy
    once_loaded("ssl", trimmer.soon)
    loop.run_until_complete(drain.done)
    reloader.close()
    log.close()
    run.remove()
    loop.close()
    return 0


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


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://{bracketed(host)}:{port}"
