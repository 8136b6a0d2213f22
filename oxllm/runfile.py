"""Run files: how the command line finds a running gateway.

The gateway writes `oxllm-PID.json` into its runtime directory once it has bound, keeps it locked (flock) as
long as it lives, and removes it after the drain. The lock tells a live file from one that a crash left
behind; the start time tells its process from a later one with the same PID. The file contains the admin token,
so it is mode 0600 in a directory that nobody else can write to.

The gateway imports this module: it may import only what asyncio and msgspec load anyway.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping

import msgspec

SYSTEM_DIRECTORY = "/run/oxllm"
"""Where systemd's `RuntimeDirectory=oxllm` is; the command line looks here too."""


class Draining(msgspec.Struct, frozen=True):
    """The progress of a gateway's drain. Its listener may be closed, so the command line reads it here."""

    until: float
    """When the requests that are left will be cut off, in seconds since the epoch."""
    requests: int = 0
    """Requests in flight."""


class RunFile(msgspec.Struct, frozen=True):
    """What a gateway publishes about itself."""

    pid: int
    start_time: int
    """Clock ticks from boot to the start of the process (/proc/PID/stat, field 22); 0 where there is no /proc."""
    started: float
    """Seconds since the epoch."""
    host: str
    """An address that a client on this machine can connect to."""
    port: int
    admin_token: str | None = None
    config: str | None = None
    """Absolute path of the configuration; None for --demo."""
    listen: tuple[str, ...] = ()
    """All addresses that it has bound, without the port."""
    drain_s: float = 30.0
    """How long a stop may take, delay and drain together."""
    draining: Draining | None = None
    version: str = ""

    def __repr__(self) -> str:
        return f"RunFile(pid={self.pid}, host={self.host!r}, port={self.port})"


class Written:
    """A run file that this process holds locked, until `remove` or the end of a `with`."""

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def __enter__(self) -> Written:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def replace(self, run: RunFile) -> None:
        """Replace the file atomically: a reader sees the old one or the new one. Raises OSError.

        If it has been deleted, its directory too, both are made anew.
        """
        if self._fd >= 0:
            _own_directory(os.path.dirname(self.path))
            fd = _write_locked(f"{self.path}.new", run)
            os.replace(f"{self.path}.new", self.path)
            os.close(self._fd)
            self._fd = fd

    def is_there(self) -> bool:
        """Whether the file is still the one that was written."""
        try:
            found, ours = os.lstat(self.path), os.fstat(self._fd)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def remove(self) -> None:
        """Remove the file; a second call does nothing."""
        if self._fd >= 0:
            _unlink(self.path)
            os.close(self._fd)
            self._fd = -1


def directory(env: Mapping[str, str]) -> str:
    """The directory of this user's run files: systemd's, the session's, or one under /tmp."""
    if given := env.get("RUNTIME_DIRECTORY"):
        return given.partition(":")[0]
    if session := env.get("XDG_RUNTIME_DIR"):
        return os.path.join(session, "oxllm")
    return os.path.join(env.get("TMPDIR") or "/tmp", f"oxllm-{os.getuid()}")  # noqa: S108 - checked by _own_directory


def write(path: str, run: RunFile) -> Written:
    """Write `run` into the directory `path`, which is created if missing, and lock it. Raises OSError.

    Run files that crashed gateways left there are removed: they contain admin tokens.
    """
    _own_directory(path)
    for name in os.listdir(path):
        pid = name.removeprefix("oxllm-").removesuffix(".json")
        if pid.isdecimal() and name == f"oxllm-{pid}.json" and _is_left(os.path.join(path, name), int(pid)):
            _unlink(os.path.join(path, name))
    file = os.path.join(path, f"oxllm-{run.pid}.json")
    return Written(file, _write_locked(file, run))


def _write_locked(file: str, run: RunFile) -> int:
    """Write a new file in place of any old one. Returns the descriptor that holds its lock."""
    import fcntl  # noqa: PLC0415 - not on Windows, where nothing is written

    _unlink(file)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        data = msgspec.json.encode(run) + b"\n"
        if os.write(fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        os.close(fd)
        _unlink(file)
        raise
    return fd


def read_all(path: str) -> list[RunFile]:
    """The running gateways with a file in the directory `path`, by PID."""
    return sorted(_live(path), key=lambda run: run.pid)


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot (proc(5)); 0 if there is no such process or no /proc."""
    stat = _stat(pid)
    return int(stat[19]) if len(stat) > 19 else 0


def owner(pid: int) -> int | None:
    """The user that a process runs as; None if there is no such process or no /proc."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            return next(int(line.split()[1]) for line in file if line.startswith(b"Uid:"))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def is_stopped(pid: int) -> bool:
    """Whether SIGSTOP or a debugger has stopped that process; False if there is no /proc."""
    return _stat(pid)[:1] in ([b"T"], [b"t"])


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat behind the command's name (proc(5)); empty without such a process, or /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def is_gateway(pid: int) -> bool | None:
    """Whether that process is a gateway, by its command line; None if there is no /proc."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return None if not os.path.isdir("/proc/self") else False
    return b"oxllm.gateway" in words[1:] and words[words.index(b"oxllm.gateway") - 1] == b"-m"


def _live(path: str) -> Iterator[RunFile]:
    try:
        names = os.listdir(path)
    except OSError:
        return
    for name in names:
        run = _read(os.path.join(path, name)) if name.startswith("oxllm-") and name.endswith(".json") else None
        if run is not None and run.start_time == start_time(run.pid):
            yield run


def _read(file: str) -> RunFile | None:
    """The file's content, if a gateway holds its lock. Another user's file is not trusted."""
    import fcntl  # noqa: PLC0415 - not on Windows

    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if os.fstat(fd).st_uid not in (os.getuid(), 0) and not file.startswith(SYSTEM_DIRECTORY + "/"):
            return None
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        run = _decode(os.read(fd, 64 * 1024))
        return run if run is not None and owner(run.pid) in (None, os.fstat(fd).st_uid) else None
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(fd)


def _is_left(file: str, pid: int) -> bool:
    """Whether a crash left it: no process has that PID, and nobody, in another PID namespace say, holds the lock."""
    import fcntl  # noqa: PLC0415 - not on Windows

    if not os.path.isdir("/proc/self") or os.path.isdir(f"/proc/{pid}"):
        return False
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _decode(data: bytes) -> RunFile | None:
    try:
        return msgspec.json.decode(data, type=RunFile)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _own_directory(path: str) -> None:
    """Create the directory; refuse one that another user owns or can write to (in /tmp anyone may have made it)."""
    os.makedirs(path, 0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PermissionError(f"{path} is not a directory that only this user can write to")


def _unlink(file: str) -> None:
    try:
        os.unlink(file)
    except FileNotFoundError:
        return
