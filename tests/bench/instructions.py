"""How many instructions the gateway takes for a small request and for a stream event, by callgrind.

    python -m tests.bench.instructions [--features] [--rivals DIR] [--write]

CPU time moves by a fifth from minute to minute on a shared machine; instructions do not, to 2 %, since nothing here is
left to chance: one client and one provider, both in this process, take turns with the gateway. So there is one request,
or one event, in each turn of its loop, and none of the savings of a crowd. What the kernel does is not counted.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from oxllm import launch
from tests.bench import tables
from tests.support import gateway
from tests.support.processes import Running, answers, free_port, module
from tests.support.provider import make_certificates
from tests.support.wire import DONE, FIRST_EVENT, HEAD_END, LAST_EVENT, chat_body, content_event, plain_answer

WARM_UP = 60
REQUESTS = 200
EVENTS = 400
ANSWER = plain_answer(350)
READY_WITHIN_S = 120.0


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
ASK = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer sk-client\r\nContent-Length: %d\r\n\r\n%b"
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


FEATURES = {
    "plain": Feature(),
    "client keys (`api_keys`)": Feature('api_keys = ["sk-client"]\n'),
    "a log in JSON": Feature(arguments=("--log-format", "json")),
    "TLS to the provider": Feature(tls=True),
}


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

    def __init__(self, port: int, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._tls = tls
        self.client = Wire(socket.create_connection(("127.0.0.1", port)))
        self.provider: Wire | None = None

    def close(self) -> None:
        """Leave."""
        for wire in (self.client, self.provider):
            if wire is not None:
                wire.sock.close()

    def request(self, *, stream: bool = False) -> None:
        """Ask, and let the provider be asked."""
        body = chat_body("hello", model="smart", stream=stream, size=400)
        self.client.send(ASK % (len(body), body))
        if self.provider is None:
            sock, _ = self._listener.accept()
            self.provider = Wire(sock if self._tls is None else self._tls.wrap_socket(sock, server_side=True))
        self.provider.message()

    def wholes(self, count: int) -> None:
        """Small requests and their answers."""
        for _ in range(count):
            self.request()
            assert self.provider is not None
            self.provider.send(ANSWER_HEAD + ANSWER)
            self.client.message()

    def begin(self) -> None:
        """A stream, up to its first event."""
        self.request(stream=True)
        assert self.provider is not None
        self.provider.send(STREAM_HEAD + chunk(FIRST_EVENT))
        self.event(content_event(0))

    def finish(self) -> None:
        """The rest of the stream."""
        assert self.provider is not None
        for data in (LAST_EVENT, DONE):
            self.provider.send(chunk(data))
        self.provider.send(b"0\r\n\r\n")
        self.client.until(b"\r\n0\r\n\r\n")

    def events(self, numbers: Sequence[int]) -> None:
        """Content events, one at a time."""
        for number in numbers:
            self.event(content_event(number))

    def event(self, data: bytes) -> None:
        assert self.provider is not None
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

    def count(self, work: Callable[[], object]) -> int:
        """Instructions of the process while `work` is done."""
        if not self._dumps:
            self._tell("-i", "on")
        self._tell("-z")
        work()
        self._tell("-d")
        self._dumps += 1
        text = self._out.with_name(f"callgrind.{self._dumps}").read_text(encoding="ascii", errors="replace")
        found = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if found is None:
            raise Absent("callgrind has counted nothing")
        return int(found[1])

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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tls = certified(directory) if feature.tls else None
        url = f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}/v1"
        text = gateway.config(port, [url], ca_file=directory / "ca.pem" if tls else None)
        file.write_text(text.replace("[server]\n", f"[server]\n{feature.settings}"), encoding="utf-8")
        counter = Counter(directory)
        with _under(counter, file, python, feature.arguments) as process:
            process.wait_until(lambda: answers(port, "/health"), READY_WITHIN_S)
            counter.pid = process.pid
            both = Lockstep(port, listener, tls)
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
        requests = counter.count(lambda: both.wholes(REQUESTS))
        both.begin()
        both.events(range(WARM_UP))
        events = counter.count(lambda: both.events(range(EVENTS)))
        both.finish()
    return Cost(requests / REQUESTS, events / EVENTS)


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
