"""How a serving process is started, by `oxllm serve`, a rehearsal or a test.

Its Plan contains keys, so it travels in an anonymous file, never in argv or the environment.

Its memory comes from a single glibc heap, which gives every free page back. Python's own allocator returns an arena
(1 MiB) only when it is completely empty, and one counter's value, made in the middle of a burst, is enough to pin it: 5
to 8 MB stayed after 1,000 streams. glibc's `malloc_trim` returns each free page. It costs 0.5 MB at rest and a few per
cent of CPU. Both settings are environment variables, which must be there before the process starts.
"""

from __future__ import annotations

import os
import sys
import tempfile

from oxllm import plan as plans


def command(fd: int, log_format: str = "text", program: tuple[str, ...] = ("-m", "oxllm.gateway")) -> list[str]:
    """The command that serves the Plan behind `fd`. `program` may be another that runs the same module."""
    return [sys.executable, "-P", *program, "--plan-fd", str(fd), "--log-format", log_format]


def plan_fd(plan: plans.Plan) -> int:
    """An inheritable descriptor of an unnamed file with the Plan in it, positioned at the start."""
    fd = _anonymous()
    with open(fd, "wb", closefd=False) as file:
        file.write(plans.encode(plan))
    os.lseek(fd, 0, os.SEEK_SET)
    os.set_inheritable(fd, True)
    return fd


def _anonymous() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("oxllm-plan")
    with tempfile.TemporaryFile() as file:  # unlinked; mode 0600
        return os.dup(file.fileno())


def environment(of: dict[str, str]) -> dict[str, str]:
    """What to add to the environment `of` the serving process. A PYTHONMALLOC that is already set stays."""
    settings = {"MALLOC_ARENA_MAX": "1"}  # mallopt(3): one heap for all threads, which can be trimmed
    if "PYTHONMALLOC" not in of and _is_glibc():
        settings["PYTHONMALLOC"] = "malloc"
    return settings


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, OSError, ValueError):
        return False
