"""How many instructions the gateway takes for a small request and for a stream event, by callgrind.

    python -m tests.bench.instructions [--features] [--rivals DIR] [--write]

CPU time moves by a fifth from minute to minute on a shared machine; instructions do not, to 1 %, since nothing here is
left to chance: one client and one provider, both in this process, take turns with the gateway. So there is one request,
or one event, in each turn of its loop, and none of the savings of a crowd. What the kernel does is not counted, nor
what timers do (under callgrind a request takes so long that there would be several for each).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

from oxllm import launch
from tests.bench import tables
from tests.support import gateway
from tests.support.processes import Running, answers, free_port, module
from tests.support.provider import make_certificates
from tests.support.wire import CHAT, HEAD_END, MESSAGES, RESPONSES, Told, plain_answer

WARM_UP = 60
REQUESTS = 200
EVENTS = 400
LATE_S = 2.0
"""Behind the warm-up over TLS: the memory that loading OpenSSL took is given back a second later, once."""
IDLE_S = 3.0
"""What timers do while a request is under way comes by the clock: so long it is counted by itself, and taken off."""
HELD = 20
"""Events that are held back where that is asked for."""
READY_WITHIN_S = 120.0


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ASK = (
    b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-client\r\nContent-Length: %d\r\n\r\n%b"
)


class Api(NamedTuple):
    """What is asked and answered in one."""

    path: bytes
    body: bytes
    """Of a request; `%b` is where a stream is asked for."""
    answer: bytes
    """Of some 600 bytes."""
    told: Told

    def ask(self, stream: bool) -> bytes:
        """A request of some 400 bytes."""
        body = self.body % (b'"stream":true,' if stream else b"")
        return ASK % (self.path, len(body), body)


_PROMPT = b"p" * 300
_TEXT = b"x" * 350
CHAT_API = Api(
    b"/v1/chat/completions",
    b'{"model":"smart",%%b"messages":[{"role":"system","content":"%b"},{"role":"user","content":"hello"}]}' % _PROMPT,
    plain_answer(350),
    CHAT,
)
RESPONSES_API = Api(
    b"/v1/responses",
    b'{"model":"smart",%%b"instructions":"%b","input":"hello"}' % _PROMPT,
    b'{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"big-1","output":[{"type":"message",'
    b'"id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"%b"}]}],'
    b'"usage":{"input_tokens":9,"output_tokens":12,"total_tokens":21}}' % _TEXT,
    RESPONSES,
)
MESSAGES_API = Api(
    b"/v1/messages",
    b'{"model":"smart","max_tokens":99,%%b"system":"%b","messages":[{"role":"user","content":"hello"}]}' % _PROMPT,
    b'{"id":"msg_1","type":"message","role":"assistant","model":"big-1","content":[{"type":"text","text":"%b"}],'
    b'"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":9,"output_tokens":12}}' % _TEXT,
    MESSAGES,
)


class Cost(NamedTuple):
    """Instructions for each."""

    request: float
    event: float


def chunk(data: bytes) -> bytes:
    """In chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Feature(NamedTuple):
    """Something that costs extra."""

    settings: str = ""
    """Lines of [server]."""
    arguments: tuple[str, ...] = ()
    tls: bool = False
    api: Api = CHAT_API
    held: int = 0
    """Events that are held back at the beginning of a stream."""
    collector: bool = False
    """Traces and metrics go to one."""


FEATURES = {
    "plain": Feature(),
    "client keys (`api_keys`)": Feature('api_keys = ["sk-client"]\n'),
    "a log in JSON": Feature(arguments=("--log-format", "json")),
    "TLS to the provider": Feature(tls=True),
    f"`hold_back` of {HELD} tokens": Feature(held=HELD),
    "telemetry to a collector": Feature(collector=True),
    "the Responses API": Feature(api=RESPONSES_API),
    "the Messages API": Feature(api=MESSAGES_API),
}


class Collector(ThreadingHTTPServer):
    """Takes whatever is exported, and tells of traces."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.traces = threading.Semaphore(0)
        """Once for each export of some."""

    def settle(self) -> None:
        """Wait until the traces of what has been done are exported."""
        while self.traces.acquire(blocking=False):
            pass
        if not self.traces.acquire(timeout=60):
            raise TimeoutError("no traces")


class Taking(BaseHTTPRequestHandler):
    """One connection of a collector."""

    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        if self.path.endswith("/traces"):
            self.server.traces.release()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector at work."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def certified(directory: Path) -> ssl.SSLContext:
    """A provider's context; its CA is `directory/ca.pem`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(make_certificates(directory))
    return context


class Absent(RuntimeError):
    """callgrind is not there, or may not do its work here."""


class Wire:
    """One end of a connection, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """All up to the mark, with it."""
        while mark not in self.buffer:
            self._more()
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def message(self) -> bytes:
        """A head and its body of a known length; the head alone if there is none."""
        head = self.until(HEAD_END)
        found = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        size = int(found[1]) if found else 0
        while len(self.buffer) < size:
            self._more()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return head + body

    def _more(self) -> None:
        data = self.sock.recv(1 << 16)
        if not data:
            raise ConnectionError("the gateway has hung up")
        self.buffer += data


class Lockstep:
    """Client and provider of one gateway, in turns with it."""

    def __init__(
        self, port: int, listener: socket.socket, tls: ssl.SSLContext | None, feature: Feature = FEATURES["plain"]
    ) -> None:
        self._listener = listener
        self._tls = tls
        self.settle: Callable[[], object] = lambda: None
        """Waits until what follows a request later has been done, too."""
        self._api = feature.api
        self._held = feature.held
        self.client = Wire(socket.create_connection(("127.0.0.1", port)))
        self.provider: Wire | None = None

    def close(self) -> None:
        """Leave."""
        for wire in (self.client, self.provider):
            if wire is not None:
                wire.sock.close()

    def request(self, *, stream: bool = False) -> None:
        """Ask, and let the provider be asked."""
        self.client.send(self._api.ask(stream))
        if self.provider is None:
            sock, _ = self._listener.accept()
            self.provider = Wire(sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True))
        self.provider.message()

    def wholes(self, count: int) -> None:
        """Small requests and their answers."""
        for _ in range(count):
            self.request()
            assert self.provider is not None
            self.provider.send(ANSWER_HEAD % len(self._api.answer) + self._api.answer)
            self.client.message()
        self.settle()

    def begin(self) -> None:
        """A stream, up to its first event."""
        self.request(stream=True)
        assert self.provider is not None
        told = self._api.told
        self.provider.send(STREAM_HEAD + chunk(told.first(0)))
        for number in range(self._held):  # not one of them comes through before the last
            self.provider.send(chunk(told.content(number, 0)))
        self.event(self._held)

    def finish(self) -> None:
        """The rest of the stream."""
        assert self.provider is not None
        self.provider.send(chunk(self._api.told.last(0)) + b"0\r\n\r\n")
        self.client.until(b"\r\n0\r\n\r\n")

    def events(self, numbers: Sequence[int]) -> None:
        """Content events, one at a time."""
        for number in numbers:
            self.event(number)

    def event(self, number: int) -> None:
        """One content event."""
        assert self.provider is not None
        data = self._api.told.content(number, 0)
        self.provider.send(chunk(data))
        self.client.until(data[-40:] + b"\r\n")


class Counter:
    """callgrind around one process. It has to be there from the start, and counts only when told."""

    def __init__(self, directory: Path) -> None:
        self._out = directory / "callgrind"
        self._dumps = 0
        self.pid = 0

    @property
    def command(self) -> list[str]:
        """What goes in front of the command of the process."""
        return ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self._out}"]

    def count(self, work: Callable[[], object]) -> tuple[int, float]:
        """Instructions of the process while `work` is done, and seconds."""
        if not self._dumps:
            self._tell("-i", "on")
        self._tell("-z")
        begun = time.monotonic()
        work()
        self._tell("-d")
        seconds = time.monotonic() - begun
        self._dumps += 1
        text = self._out.with_name(f"callgrind.{self._dumps}").read_text(encoding="ascii", errors="replace")
        found = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if found is None:
            raise Absent("callgrind has counted nothing")
        return int(found[1]), seconds

    def _tell(self, *what: str) -> None:
        command = ["callgrind_control", *what, str(self.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode or "OK" not in done.stdout:
            raise Absent(f"callgrind_control: {done.stdout} {done.stderr}")


@contextmanager
def counting(directory: Path, python: str, feature: Feature) -> Iterator[tuple[Counter, Lockstep]]:
    """A gateway of this Python under callgrind, and both its ends. Raises Absent."""
    if not shutil.which("valgrind") or not shutil.which("callgrind_control"):
        raise Absent("there is no valgrind")
    port = free_port()
    file = directory / "oxllm.toml"
    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack:
        tls = certified(directory) if feature.tls else None
        url = f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/v1"
        text = gateway.config(port, [url], ca_file=directory / "ca.pem" if tls else None)
        settings = feature.settings
        collector = stack.enter_context(collecting()) if feature.collector else None
        if collector is not None:
            settings += f'otel_endpoint = "http://127.0.0.1:{collector.server_address[1]}"\n'
        if feature.held:
            start, _, targets = text.partition("[virtual_models]\nsmart = ")
            text = f'{start}[virtual_models.smart]\nhold_back = "{feature.held} tokens"\ntargets = {targets}'
        file.write_text(text.replace("[server]\n", f"[server]\n{settings}"), encoding="utf-8")
        counter = Counter(directory)
        with _under(counter, file, python, feature.arguments) as process:
            process.wait_until(lambda: answers(port, "/health"), READY_WITHIN_S)
            counter.pid = process.pid
            both = Lockstep(port, listener, tls, feature)
            both.settle = collector.settle if collector is not None else both.settle
            try:
                yield counter, both
            finally:
                both.close()


@contextmanager
def _under(counter: Counter, file: Path, python: str, arguments: Sequence[str]) -> Iterator[Running]:
    """The serving process with the Plan of this config."""
    plain = {**os.environ, **gateway.CLEAN}
    plan = subprocess.run(
        module("oxllm.config.compile", str(file)), check=True, stdout=subprocess.PIPE, env=plain
    ).stdout
    fd = os.memfd_create("plan")
    try:
        os.write(fd, plan)
        command = [*counter.command, python, "-P", "-m", "oxllm.gateway", "--plan-fd", str(fd), *arguments]
        env = {**gateway.CLEAN, **launch.environment(dict(os.environ)), "PYTHONHASHSEED": "0"}
        with Running(command, output=file.with_suffix(".log"), env=env, pass_fds=[fd]) as process:
            yield process
    finally:
        os.close(fd)


def measure(directory: Path, python: str = sys.executable, feature: Feature = FEATURES["plain"]) -> Cost:
    """What each costs with the oxllm of this Python. Raises Absent."""
    with counting(directory, python, feature) as (counter, both):
        both.wholes(WARM_UP)
        if feature.tls:
            time.sleep(LATE_S)
        requests, requests_s = counter.count(lambda: both.wholes(REQUESTS))
        both.begin()
        both.events(range(WARM_UP))
        events, events_s = counter.count(lambda: both.events(range(EVENTS)))
        idle, idle_s = counter.count(lambda: time.sleep(IDLE_S))
        both.finish()
    timers = idle / idle_s
    return Cost((requests - timers * requests_s) / REQUESTS, (events - timers * events_s) / EVENTS)


def how_built(python: str) -> str:
    """`compiled` or `pure Python`."""
    script = "from oxllm.cli.built import built; print(built())"
    return subprocess.run([python, "-P", "-c", script], check=True, capture_output=True, text=True).stdout.strip()


def recorded(build: str) -> Cost | None:
    """What docs/footprint.md says of a build; None if nothing."""
    text = tables.DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(build)} +\| +([\d,]+) \| +([\d,]+) \|$", text, re.MULTILINE)
    return Cost(*(float(number.replace(",", "")) for number in found.groups())) if found else None


def features() -> str:
    """A table of what costs extra, as ratios to a gateway that does without."""
    costs = {}
    for name, feature in FEATURES.items():
        with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as directory:
            costs[name] = measure(Path(directory), feature=feature)
    plain = costs["plain"]
    lines = [
        (name, f"{cost.request / plain.request:.2f}", f"{cost.event / plain.event:.2f}") for name, cost in costs.items()
    ]
    header = ("with", "instructions a small request", "instructions a stream event")
    return f"{tables.aligned(header, lines)}\n\nOf plain; {how_built(sys.executable)}, {tables.machine()}."


def report(costs: Mapping[str, Cost]) -> str:
    """A table of builds."""
    lines = [(build, f"{cost.request:,.0f}", f"{cost.event:,.0f}") for build, cost in costs.items()]
    header = ("build", "instructions a small request", "instructions a stream event")
    return f"{tables.aligned(header, lines)}\n\n{tables.machine()}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.instructions")
    parser.add_argument("--rivals", type=Path, default=Path(tempfile.gettempdir()) / "oxllm-rivals")
    parser.add_argument("--write", action="store_true", help="write the table into docs/footprint.md")
    parser.add_argument("--features", action="store_true", help="the table of what costs extra, instead")
    arguments = parser.parse_args()
    if arguments.features:
        _show("features", features(), arguments.write)
        return
    compiled = arguments.rivals / "compiled" / "bin" / "python"
    costs = {}
    for python in [sys.executable, *([str(compiled)] if compiled.exists() else [])]:
        with tempfile.TemporaryDirectory(prefix="oxllm-bench-") as name:
            costs[how_built(python)] = measure(Path(name), python)
    _show("instructions", report(costs), arguments.write)


def _show(section: str, text: str, write: bool) -> None:
    print(text)
    if write:
        tables.write(section, text)


if __name__ == "__main__":
    main()
