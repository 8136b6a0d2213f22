"""The checks of `oxllm doctor` on this machine."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from oxllm import plan as plans
from oxllm.cli.finding import FAIL, OK, WARN, Finding

FILES_OF_OUR_OWN = 192
"""The gateway's own numbers, this one and `BACKLOG`. Its code is not loaded here; a test compares them."""
MEMORY_MIN = 128 * 2**20
"""Bytes: the gateway's 40 MB under load, a reload's child process, and some reserve."""
BACKLOG = 1024


def machine(plan: plans.Plan | None) -> Iterator[Finding]:
    """All checks."""
    server = plan.server if plan is not None else plans.Server()
    yield _python()
    if os.name == "posix":
        yield _descriptors(server)
        yield _run_directory()
    yield from _kernel()


def _python() -> Finding:
    version = platform.python_version()
    implementation = platform.python_implementation()
    state = OK if implementation == "CPython" else WARN
    fix = "" if state == OK else "CPython is what the tests run on"
    if sys.platform == "win32":
        return Finding("system", FAIL, f"Windows, {implementation} {version}", "run `oxllm serve` in WSL")
    return Finding("system", state, f"{platform.system()} {platform.release()}, {implementation} {version}", fix)


def _descriptors(server: plans.Server) -> Finding:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = 2 * server.max_connections + FILES_OF_OUR_OWN
    if hard == resource.RLIM_INFINITY or hard >= needed:
        return Finding("descriptors", OK, "enough" if hard == resource.RLIM_INFINITY else f"{hard} of {needed} needed")
    fix = f"raise LimitNOFILE (systemd) or `ulimit -Hn` to {needed}, or lower max_connections"
    return Finding("descriptors", WARN, f"{hard}, but max_connections = {server.max_connections} needs {needed}", fix)


def _run_directory() -> Finding:
    from oxllm import runfile

    path = runfile.directory(os.environ)
    there = path if os.path.isdir(path) else os.path.dirname(path)
    if os.access(there, os.W_OK):
        return Finding("run file", OK, path)
    fix = "set XDG_RUNTIME_DIR or RUNTIME_DIRECTORY to a directory of yours; without it commands need --url or --pid"
    return Finding("run file", WARN, f"{path} cannot be written to", fix)


def _kernel() -> Iterator[Finding]:
    """Linux only; other systems do not have these files."""
    if (available := _available()) is not None:
        enough = available >= MEMORY_MIN
        fix = "" if enough else "the gateway needs some 40 MB under load, and a reload as much again"
        yield Finding("memory", OK if enough else WARN, f"{available >> 20} MB free", fix)
    backlog = _number("/proc/sys/net/core/somaxconn")
    if backlog is not None:
        fix = "" if backlog >= BACKLOG else f"sysctl -w net.core.somaxconn={BACKLOG}: a burst of clients is refused"
        yield Finding("backlog", OK if backlog >= BACKLOG else WARN, f"net.core.somaxconn = {backlog}", fix)
    ports = _numbers("/proc/sys/net/ipv4/ip_local_port_range")
    if len(ports) == 2:
        count = ports[1] - ports[0]
        fix = "" if count >= 10_000 else "widen net.ipv4.ip_local_port_range: connections to providers need ports"
        yield Finding("local ports", OK if count >= 10_000 else WARN, f"{count} of them", fix)


def _available() -> int | None:
    """Bytes available: in the control group (cgroup v2) if it has a limit, else on the machine."""
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit is not None and used is not None:
        return limit - used
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _number(path: str) -> int | None:
    numbers = _numbers(path)
    return numbers[0] if numbers else None


def _numbers(path: str) -> list[int]:
    try:
        return [int(word) for word in Path(path).read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []
