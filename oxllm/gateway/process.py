"""The life of the serving process: plan in, sockets bound, signals, drain, exit.

`oxllm serve` has validated the config and replaced itself with this process (`python -P -m oxllm.gateway`),
which therefore imports nothing but the stdlib, httptools, msgspec and oxllm's own plan, core and gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence

import msgspec

from oxllm import plan as plans
from oxllm.gateway import systemd
from oxllm.gateway.assembly import Gateway
from oxllm.gateway.client.connection import CROWD_MAX
from oxllm.gateway.later import once_loaded
from oxllm.gateway.listening import BACKLOG, BindError, listen
from oxllm.gateway.memory import Trimmer
from oxllm.gateway.observe.complaints import Complaints
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.sink import sink_of
from oxllm.gateway.reactor.sockets import accept, loop_maker
from oxllm.gateway.run_file_writer import KEPT_S, RunFileWriter
from oxllm.words import bracketed

ACCEPTED_AT_ONCE = 64
"""Connections accepted per turn of the loop: those over the limit are closed before more are accepted."""
FDS_OF_OUR_OWN = 64 + CROWD_MAX + ACCEPTED_AT_ONCE
"""64 for listeners, epoll, log, run file, a reload child's pipes and DNS. Of the rest, each connection takes two."""
ROTATION = "SIGUSR1 reopens no log, since the log is stderr, which is never closed: have logrotate use copytruncate"
"""Logged on SIGUSR1, at which other servers reopen their logs; its default action would kill the process silently."""


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
    _handle_signals(loop, gateway, log)
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


def _handle_signals(loop: asyncio.AbstractEventLoop, gateway: Gateway, log: Log) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.drain.signal)
    loop.add_signal_handler(signal.SIGUSR1, log.event, "warning", ROTATION)
    loop.add_signal_handler(signal.SIGHUP, gateway.admin.hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # `oxllm serve` blocks it before it reads the config


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://{bracketed(host)}:{port}"
