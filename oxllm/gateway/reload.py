"""Another config without a restart: compile it in a short child process, compare, swap.

    SIGHUP, POST /reload ──► child: python -P -m oxllm.config.compile FILE ──► Plan JSON or errors on its stdout
                             errors, death, 30 s, garbage ──► refused: what runs stays, and the log says why
                             a Plan ──► diff ──► `Gateway.adopt` (not with dry_run)

The child has the environment that `serve` was started with. Only it loads pydantic, and that memory goes with it.
Reloads run one at a time; those that wait have not read the file yet, so they are merged into one. Once the process has
been told to stop, no reload begins, and the result of one under way is discarded.
Settings that need a restart are compared with what is bound, so each reload reports them until somebody restarts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import msgspec

from oxllm import plan as plans
from oxllm.gateway import systemd
from oxllm.gateway.difference import Diff, diff
from oxllm.gateway.life import Life
from oxllm.gateway.observe.log import Log
from oxllm.words import count

LIMIT_S = 30.0
"""A config takes 0.3 s on a slow machine. One that takes this long is stuck, on a file system that hangs, say."""
DIES_S = 2.0
"""How long a killed child may take to die."""
CLOSE_S = 0.5
"""The same, when the gateway itself is ending."""
LOOK_S = 0.005
OUTPUT_MAX = 16 * 1024 * 1024
"""Bytes of a Plan; a config of a thousand providers takes about 1 MiB."""
READ_BYTES = 64 * 1024
COMPILE = (sys.executable, "-P", "-m", "oxllm.config.compile")


class Error(msgspec.Struct, frozen=True):
    """One reason why a config was refused. `text` says all of it in one line."""

    text: str
    file: str | None = None
    line: int | None = None
    key: str = ""
    message: str = ""
    help: str = ""


class Result(msgspec.Struct, frozen=True):
    """The outcome of one reload."""

    ok: bool
    dry_run: bool
    errors: list[Error] = []
    diff: Diff = Diff()
    warnings: tuple[str, ...] = ()


class _Compiled(msgspec.Struct):
    errors: list[Error]
    unset: tuple[str, ...] = ()
    """Environment variables that are missing."""

    def reasons(self) -> list[Error]:
        """The errors, with advice on unset variables: exporting one in a shell does not set it in a running process."""
        advice = "; a reload has the environment that `serve` was started with: a new variable needs a restart"
        return [
            msgspec.structs.replace(error, text=error.text + advice)
            if any(f"variable {name} is not set" in error.message for name in self.unset)
            else error
            for error in self.errors
        ]


class Refused(Exception):
    """There is no new Plan, for these reasons."""

    def __init__(self, errors: Sequence[Error]) -> None:
        super().__init__(errors)
        self.errors = list(errors)


class Reloader:
    """Runs a process's reloads, one at a time. `adopt` swaps in the new Plan."""

    __slots__ = (
        "_adopt",
        "_bound",
        "_command",
        "_counts",
        "_env",
        "_life",
        "_log",
        "_loop",
        "_process",
        "_running",
        "_task",
        "_undead",
        "_waiting",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        counts: dict[str, int],
        life: Life,
        running: Callable[[], plans.Plan],
        adopt: Callable[[plans.Plan], None],
        env: Mapping[str, str],
        command: Sequence[str] = COMPILE,
    ) -> None:
        """`counts`: reloads so far, by outcome. `running`: returns the running Plan."""
        self._loop = loop
        self._log = log
        self._counts = counts
        self._life = life
        self._running = running
        self._adopt = adopt
        self._env = dict(env)
        self._command = tuple(command)
        self._bound = running().server
        self._process: subprocess.Popen[bytes] | None = None
        self._undead: list[subprocess.Popen[bytes]] = []
        """Children that were killed and have not died yet."""
        self._task: asyncio.Task[None] | None = None
        """Runs the waiting reloads, one after the other."""
        self._waiting: dict[bool, list[Callable[[Result], None]]] = {}
        """`dry_run` -> who is told the result of the reload of that kind that has not begun."""

    def signal(self) -> None:
        """SIGHUP: reload, and tell nobody but the log."""
        self.start(dry_run=False, done=lambda result: None)

    def start(self, dry_run: bool, done: Callable[[Result], None]) -> None:
        """Begin a reload, or join the one that waits; `done` is called with the result."""
        waiting = self._waiting.get(dry_run)
        if waiting is not None:
            waiting.append(done)
            return
        self._waiting[dry_run] = [done]
        if self._task is None:
            self._task = self._loop.create_task(self._run())

    def close(self) -> None:
        """The process ends: no more reloads, and no child is left behind."""
        if self._task is not None:
            self._task.cancel()
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_S)

    async def _run(self) -> None:
        """Run reloads until none is waiting."""
        try:
            while self._waiting:
                await self._run_one(next(iter(self._waiting)))
        finally:
            self._task = None

    async def _run_one(self, dry_run: bool) -> None:
        waiting = self._waiting.pop(dry_run)
        if not dry_run:
            usec = int(self._loop.time() * 1_000_000)
            self._notify(f"RELOADING=1\nMONOTONIC_USEC={usec}")
        try:
            result = await self._attempt(dry_run)
        except Refused as refused:
            result = Result(ok=False, dry_run=dry_run, errors=refused.errors)
        except Exception as error:  # noqa: BLE001  those who wait must get a result
            self._loop.call_exception_handler({"message": "a reload", "exception": error})
            result = Result(ok=False, dry_run=dry_run, errors=[Error("internal error; the log has a line about it")])
        finally:
            if not dry_run:
                self._notify("READY=1")
        if not dry_run:
            self._tell(result)
        for done in waiting:
            self._loop.call_soon(done, result)  # not called here: one that fails must not affect the others

    def _notify(self, state: str) -> None:
        """Notify systemd, except after `STOPPING=1`: then reloads no longer matter to it."""
        if not self._life.stopping:
            systemd.notify(state)

    async def _attempt(self, dry_run: bool) -> Result:
        self._refuse_if_stopping()
        running = self._running()
        if running.source is None:
            raise Refused([Error("this gateway runs without a config file (--demo), so there is none to read again")])
        plan = _understand(*await self._compile(running.source))
        self._refuse_if_stopping()
        difference = diff(running, plan, self._bound)
        if not dry_run:
            self._adopt(plan)
        return Result(ok=True, dry_run=dry_run, diff=difference, warnings=plan.warnings)

    def _refuse_if_stopping(self) -> None:
        """Raise Refused during a drain: what the process has announced, in its run file and limits, must hold."""
        if self._life.stopping:
            raise Refused([Error("the gateway is stopping")])

    def _tell(self, result: Result) -> None:
        log = self._log
        self._counts["success" if result.ok else "refused"] += 1
        if result.ok:
            log.event("reload", str(result.diff))
        else:
            log.event("reload", f"refused, the running config stays: {count(len(result.errors), 'error')}")
        log.events("reload", [*(error.text for error in result.errors), *result.warnings])

    # The child.

    async def _compile(self, file: str) -> tuple[bytes, int]:
        """The child's output and exit status. Raises Refused."""
        self._undead = [left for left in self._undead if left.poll() is None]
        try:
            process = self._process = subprocess.Popen(  # noqa: S603, ASYNC220  our own; vfork and exec take a millisecond
                [*self._command, file],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a traceback may quote what the file holds
                env=self._env,
            )
        except OSError as error:
            raise Refused([Error(f"the process that checks the config does not start: {error.strerror}")]) from None
        try:
            async with asyncio.timeout(LIMIT_S):
                output = await self._output(process)
        except TimeoutError:
            process.kill()
            await self._status(process)
            raise Refused([Error(f"checking the config took over {LIMIT_S:.0f} s")]) from None
        finally:
            self._process = None
            process.kill()  # no effect once it has ended
        return output, await self._status(process)

    async def _status(self, process: subprocess.Popen[bytes]) -> int:
        """The child's exit status. Raises Refused if it does not die: it may be stuck in a file system for ever."""
        until = self._loop.time() + DIES_S
        while (status := process.poll()) is None:
            if self._loop.time() >= until:
                self._undead.append(process)
                raise Refused([Error("the process that checks the config cannot be ended: its disk or server hangs")])
            await asyncio.sleep(LOOK_S)
        return status

    async def _output(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        loop, output = self._loop, bytearray()
        ended: asyncio.Future[None] = loop.create_future()
        fd = process.stdout.fileno()

        def read() -> None:
            data = os.read(fd, READ_BYTES)
            output.extend(data)
            if (not data or len(output) > OUTPUT_MAX) and not ended.done():
                ended.set_result(None)

        with process.stdout:
            loop.add_reader(fd, read)
            try:
                await ended
            finally:
                loop.remove_reader(fd)
        return bytes(output)


def _understand(output: bytes, status: int) -> plans.Plan:
    """The Plan that the child wrote. Raises Refused."""
    try:
        if status == 0:
            return plans.decode(output)
        if status == 1:
            raise Refused(msgspec.json.decode(output, type=_Compiled).reasons())
    except (plans.PlanError, msgspec.DecodeError, UnicodeDecodeError):
        advice = "has another oxllm been installed? It needs a restart"
        raise Refused([Error(f"what the check of the config said cannot be read: {advice}")]) from None
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    raise Refused([Error(f"the process that checks the config died ({how})")])
