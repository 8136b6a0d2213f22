"""The load driver: a separate process that asks, reads and checks, and reports its figures on demand.

Two ends in one file. In a test or benchmark:

    with load.running(Job(kind="streams", port=port, count=1000, ...), directory) as driver:
        driver.wait_for(lambda seen: seen.open == 1000)
        before, after = driver.mark(), driver.mark()     # figures; percentiles are of the time since the last mark
        seen = driver.finish()

The other end is `python -m tests.support.load JOB`: asyncio Protocols with a parser of their own (not the
gateway's), which compare every byte of every answer with what `wire` says the provider sent. Each job is bounded: by
its counts, and by `within_s`, after which whatever is unfinished counts as failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.support.processes import module, raise_open_files
from tests.support.wire import (
    HEAD_END,
    answer,
    chat_body,
    echoing,
    in_events_of,
    plain_answer,
    play,
    told,
    unnumbered,
    whole_stream,
)


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for."""

    kind: str
    """requests: each connection asks again as soon as it is answered, until told to finish.
    streams: one stream per connection, all at once except for the ramp.
    bodies: one stream per connection, all bodies written at the same moment."""
    port: int
    path: str = "/v1/chat/completions"
    model: str = "smart"
    count: int = 1
    """Connections."""
    size: int = 400
    """Least number of bytes in a request's body."""
    answer: int = 300
    """Bytes of content in a plain answer, or in the last event of a stream of the Responses API."""
    echo: int = 0
    """Bytes of the request that such a stream repeats, twice, before its content."""
    large: int = 0
    """Bytes of each event of such a stream."""
    events: int = 30
    every_s: float = 0.5
    after_s: float = 0.05
    """Time from the request to the provider's first content."""
    ramp_s: float = 0.0
    exact: bool = True
    """Compare each byte. False for gateways that rewrite answers: then a whole answer is enough."""
    within_s: float = 120.0


class Seen(msgspec.Struct, kw_only=True):
    """The figures so far. Times in milliseconds; percentiles of the time since the last mark."""

    clock: float = 0.0
    """Monotonic seconds: the same clock in every process of this machine."""
    done: int = 0
    """Answers that were whole and right."""
    refused: int = 0
    """503 with Retry-After."""
    failed: dict[str, int] = {}
    """Reason -> count."""
    events: int = 0
    open: int = 0
    """Streams that have had content and are not finished."""
    open_max: int = 0
    finished: bool = False
    answer_p50: float = 0.0
    answer_p99: float = 0.0
    content_p50: float = 0.0
    """Time to the first content of a stream."""
    content_p99: float = 0.0
    content_max: float = 0.0


class Response:
    """One HTTP/1.1 response, read as it comes. `complete` once the framing says so."""

    __slots__ = ("_buffer", "_chunked", "_left", "body", "complete", "head", "status")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._chunked = False
        self._left: int | None = None
        self.head = b""
        self.status = 0
        self.body = bytearray()
        self.complete = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises ValueError if they are not HTTP."""
        self._buffer += data
        if not self.head and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
        else:
            self.body += self._buffer
            self._buffer.clear()
            self.complete = self._left is not None and len(self.body) >= self._left

    def _read_head(self) -> bool:
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return False
        self.head = bytes(self._buffer[:end]).lower()
        del self._buffer[: end + 4]
        self.status = int(self.head[9:12])
        length = self.header(b"content-length")
        self._left = int(length) if length else None
        self._chunked = self.header(b"transfer-encoding") == b"chunked"
        return True

    def header(self, name: bytes) -> bytes | None:
        """The value of a header, in lower case."""
        start = self.head.find(b"\r\n" + name + b":")
        if start < 0:
            return None
        start += len(name) + 3
        end = self.head.find(b"\r\n", start)
        return self.head[start : end if end >= 0 else None].strip()

    def _read_chunks(self) -> None:
        buffer, position = self._buffer, 0
        while (end := buffer.find(b"\r\n", position)) >= 0:
            size = int(buffer[position:end], 16)
            stop = end + 2 + size + 2
            if len(buffer) < stop:
                break
            self.body += buffer[end + 2 : stop - 2]
            position = stop
            self.complete = size == 0
        del buffer[:position]


class Bench:
    """The job and its figures, which the connections report to."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self.job = job
        self.loop = loop
        self.seen = Seen()
        self.stopping = False
        self.over = loop.create_future()
        self.failed: Counter[str] = Counter()
        self._answers: list[float] = []
        self._contents: list[float] = []
        self._running = 0
        stream = job.kind != "requests"
        prompt = answer(job.answer)
        if stream:
            large = f"{in_events_of(job.large)} {echoing(job.echo)}"
            prompt = f"{play(job.events, job.every_s, job.after_s)} {large} {prompt}"
        body = chat_body(prompt, model=job.model, stream=stream, size=job.size)
        self.request = (
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
            b"User-Agent: load/1\r\nAuthorization: Bearer sk-client\r\nContent-Length: %d\r\n\r\n%b"
        ) % (job.path.encode(), job.port, len(body), body)
        self.expected = plain_answer(job.answer)
        if stream:
            self.expected = whole_stream(job.events, told(job.path.encode()), job.large, job.answer, job.echo)

    def right(self, response: Response) -> bool:
        """Whether the answer is the provider's, byte for byte; or, if the gateway rewrites it, whole."""
        if self.job.exact:
            return response.body == self.expected or unnumbered(response.body) == self.expected
        last = b'"choices"' if self.job.kind == "requests" else b"[DONE]"
        return last in response.body and b"stop" in response.body

    def started(self) -> None:
        self._running += 1

    def first_content(self, took_s: float) -> None:
        self._contents.append(took_s * 1e3)
        self.seen.open += 1
        self.seen.open_max = max(self.seen.open_max, self.seen.open)

    def answered(self, response: Response, took_s: float) -> None:
        if response.status == 200 and self.right(response):
            self.seen.done += 1
            self._answers.append(took_s * 1e3)
        elif response.status == 503 and response.header(b"retry-after"):
            self.seen.refused += 1
        else:
            same = "" if response.status != 200 else f", {len(response.body)} bytes that were not sent"
            self.failed[f"HTTP {response.status}{same}"] += 1

    def ended(self, failure: str | None = None) -> None:
        """A connection has finished its work, or failed."""
        if failure:
            self.failed[failure] += 1
        self._running -= 1
        if self._running == 0 and not self.over.done():
            self.over.set_result(None)

    def figures(self) -> Seen:
        """What was seen; restarts the percentiles."""
        seen = self.seen
        seen.clock = time.monotonic()
        seen.failed = dict(self.failed)
        seen.answer_p50, seen.answer_p99, _ = _percentiles(self._answers)
        seen.content_p50, seen.content_p99, seen.content_max = _percentiles(self._contents)
        self._answers.clear()
        return seen


class Client(asyncio.Protocol):
    """One connection of the job."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._streams = bench.job.kind != "requests"
        self._response = Response()
        self._asked = 0.0
        self._events = 0
        self._open = False
        self._over = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._bench.job.kind != "bodies":
            self.ask()

    def ask(self) -> None:
        self._response = Response()
        self._asked = self._bench.loop.time()
        self._transport.write(self._bench.request)

    def data_received(self, data: bytes) -> None:
        response = self._response
        scanned = len(response.body)
        try:
            response.feed(data)
        except ValueError:
            self._end("not HTTP")
            return
        if self._streams:
            self._count(scanned)
        if response.complete:
            self._answered()

    def _count(self, scanned: int) -> None:
        more = self._response.body.count(b"\n\n", max(0, scanned - 1))
        self._bench.seen.events += more
        self._events += more
        if not self._open and self._events > 1:
            self._open = True
            self._bench.first_content(self._bench.loop.time() - self._asked)

    def _answered(self) -> None:
        bench, response = self._bench, self._response
        bench.answered(response, bench.loop.time() - self._asked)
        if bench.job.kind == "requests" and not bench.stopping:
            if response.header(b"connection") == b"close":
                bench.started()
                bench.loop.create_task(connect(bench))
                self._end(None)
            else:
                self.ask()
        else:
            self._end(None)

    def _end(self, failure: str | None) -> None:
        if self._over:
            return
        self._over = True
        self._bench.seen.open -= self._open
        self._bench.ended(failure)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._over:
            return
        if self._response.status == 200 and self._response.header(b"content-length") is None and exc is None:
            self._answered()
        else:
            self._end(f"cut: {exc or 'EOF'}")


async def connect(bench: Bench) -> Client | None:
    """One more connection. The caller has counted it as started."""
    try:
        _, client = await bench.loop.create_connection(lambda: Client(bench), "127.0.0.1", bench.job.port)
    except OSError as error:
        bench.ended(f"connect: {error.strerror}")
        return None
    return client


async def _open_all(bench: Bench) -> None:
    start = bench.loop.time()
    clients = []
    bench.started()
    for index in range(bench.job.count):
        await asyncio.sleep(start + index * bench.job.ramp_s / bench.job.count - bench.loop.time())
        bench.started()
        clients.append(await connect(bench))
    if bench.job.kind == "bodies":
        for client in clients:
            if client is not None:
                client.ask()
    bench.ended()


async def _listen(bench: Bench) -> None:
    """Answers each line on stdin with the figures; the line `finish` also lets the connections go."""
    reader = asyncio.StreamReader()
    await bench.loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        bench.stopping = bench.stopping or line == b"finish\n"
        _tell(bench.figures())
    bench.stopping = True


def _tell(seen: Seen) -> None:
    sys.stdout.write(msgspec.json.encode(seen).decode() + "\n")
    sys.stdout.flush()


async def _main(job: Job) -> None:
    bench = Bench(job, asyncio.get_running_loop())
    tasks = [bench.loop.create_task(_listen(bench)), bench.loop.create_task(_open_all(bench))]
    try:
        async with asyncio.timeout(job.within_s):
            await bench.over
    except TimeoutError:
        bench.failed[f"unfinished after {job.within_s:g} s"] += bench.job.count - bench.seen.done - bench.seen.refused
    bench.seen.finished = True
    _tell(bench.figures())
    for task in tasks:
        task.cancel()


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    """p50, p99 and the largest; zeros if there are none."""
    if not values:
        return 0.0, 0.0, 0.0
    ranked = sorted(values)
    return ranked[len(ranked) // 2], ranked[min(len(ranked) - 1, len(ranked) * 99 // 100)], ranked[-1]


class Driver:
    """The parent's end of a running job."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._last: Seen | None = None

    def mark(self) -> Seen:
        """The figures now, with percentiles since the last mark; the final figures if the job is over."""
        return self._ask(b"mark\n")

    def wait_for(self, condition: Callable[[Seen], bool], within_s: float = 60.0) -> Seen:
        """Marks until the condition holds, the job is over or the time is up; returns the last figures."""
        start = time.monotonic()
        while not condition(seen := self.mark()) and not seen.finished and time.monotonic() - start < within_s:
            time.sleep(0.1)
        return seen

    def finish(self) -> Seen:
        """Lets running requests and streams end, and returns the final figures."""
        seen = self._ask(b"finish\n")
        while not seen.finished:
            seen = self._read()
        return seen

    def _ask(self, line: bytes) -> Seen:
        if self._last is not None:
            return self._last
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()
        return self._read()

    def _read(self) -> Seen:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load driver died: exit status {self._process.wait(60)}")
        seen = msgspec.json.decode(line, type=Seen)
        if seen.finished:
            self._last = seen
        return seen


@contextlib.contextmanager
def running(job: Job, directory: Path, *, cpus: set[int] | None = None) -> Iterator[Driver]:
    """Starts the job in a process of its own; kills it at the end of the block if it is still running."""
    text = msgspec.json.encode(job).decode()
    command = module("tests.support.load", text)
    if cpus:
        command = ["taskset", "--cpu-list", ",".join(map(str, sorted(cpus))), *command]
    with (directory / "load.log").open("ab") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
    try:
        yield Driver(process)
    finally:
        process.kill()
        process.communicate()


def run(job: Job, directory: Path, *, cpus: set[int] | None = None) -> Seen:
    """Runs a job that ends by itself; returns its final figures."""
    with running(job, directory, cpus=cpus) as driver:
        return driver.finish()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.support.load")
    parser.add_argument("job", help="a Job as JSON")
    job = msgspec.json.decode(parser.parse_args().job, type=Job)
    raise_open_files()
    asyncio.run(_main(job))


if __name__ == "__main__":
    main()
