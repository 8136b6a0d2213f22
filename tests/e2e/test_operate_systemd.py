"""As systemd runs it: what it is told in which order, and the sockets that it hands over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import CLEAN, serve_command
from tests.support.processes import Running
from tests.support.scripted import Provider, Scripted, healthy
from tests.support.user import config, eventually, gateway

BODY = b'{"model":"smart","messages":[]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 31\r\n\r\n" + BODY


@pytest.fixture
def alpha() -> Iterator[Provider]:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        yield alpha


def test_the_manager_hears_of_each_step_in_order_and_when(tmp_path: Path, alpha: Provider) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(10)

        def told() -> list[str]:
            return manager.recv(200).decode().split("\n")

        text = config({"alpha": alpha.url}, {"smart": ["alpha"]})
        with gateway(tmp_path, text, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as running:
            assert told() == ["READY=1"]
            for good in (True, False):
                (tmp_path / "config.toml").write_text(text if good else "no TOML")
                asked = time.clock_gettime(time.CLOCK_MONOTONIC)
                os.kill(running.pid, signal.SIGHUP)
                word, stamp = told()
                assert word == "RELOADING=1"
                at = int(stamp.removeprefix("MONOTONIC_USEC=")) / 1e6
                assert asked <= at <= time.clock_gettime(time.CLOCK_MONOTONIC), "older ones are of another reload"
                assert told() == ["READY=1"], "also when refused"
            os.kill(running.pid, signal.SIGTERM)
            assert told() == ["STOPPING=1"]
            assert running.process.wait() == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(200)


class Unit:
    """A socket unit, and the service behind it."""

    def __init__(self, directory: Path, alpha: Provider, *listeners: socket.socket) -> None:
        self.directory = directory
        self.listeners = listeners
        self.file = directory / "config.toml"
        self.file.write_text(config({"alpha": alpha.url}, {"smart": ["alpha"]}))

    def start(self, name: str) -> Running:
        """As systemd does it: the sockets are descriptors from 3 on, and LISTEN_PID is who gets them."""
        fds = [listener.fileno() for listener in self.listeners]
        copies = "".join(f"os.dup2(high[{index}], {index + 3}); " for index in range(len(fds)))
        activate = f"import os, fcntl; high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in {fds}]; {copies}"
        activate += "os.environ['LISTEN_PID'] = str(os.getpid()); "
        activate += f"os.execv({serve_command(self.file)[0]!r}, {serve_command(self.file)!r})"
        env = {**CLEAN, "LISTEN_FDS": str(len(fds)), "XDG_RUNTIME_DIR": str(self.directory)}
        output = self.directory / f"log-{name}"
        return Running([sys.executable, "-c", activate], output=output, env=env, pass_fds=fds)


class Callers:
    """Clients that come one after another, whatever happens behind the socket."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]
        self.answers: Counter[bytes] = Counter()
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        while not self._over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as sock:
                    sock.sendall(CHAT)
                    data = b""
                    while part := sock.recv(65536):
                        data += part
                self.answers[data[:12]] += 1
            except OSError as error:
                self.answers[str(error).encode()] += 1
            time.sleep(0.005)

    def finish(self) -> Counter[bytes]:
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.answers


def test_restarts_under_load_drop_nobody_where_the_manager_holds_the_socket(tmp_path: Path, alpha: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        unit = Unit(tmp_path, alpha, listener)
        callers = Callers(listener.getsockname()[1], 8)
        try:
            for number in range(2):
                with unit.start(str(number)) as service:
                    assert eventually(lambda: "ready: listening on" in service.output.read_text())
                    before = sum(callers.answers.values())
                    assert eventually(lambda: sum(callers.answers.values()) > before + 20)  # noqa: B023
                    assert service.stop() == 0
            last = unit.start("last")
        finally:
            answers = callers.finish()
        with last:
            pass
    assert set(answers) == {b"HTTP/1.1 200"}, answers


def test_several_sockets_are_all_served(tmp_path: Path, alpha: Provider) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        Unit(tmp_path, alpha, one, two).start("both"),
    ):
        for listener in (one, two):
            with socket.create_connection(listener.getsockname(), timeout=60) as sock:
                sock.sendall(CHAT)
                assert sock.recv(12) == b"HTTP/1.1 200"


def test_a_socket_that_cannot_be_served_is_refused_with_what_to_write(tmp_path: Path, alpha: Provider) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "sock"))
        unix.listen()
        with Unit(tmp_path, alpha, unix).start("unix") as service:
            assert service.wait() == 1
            last = service.tail().splitlines()[-1]
            assert last.startswith("oxllm: the service manager hands over a socket that cannot be served")
            assert "ListenStream=" in last


def test_stop_that_is_not_waited_out_exits_1_and_the_drain_goes_on(tmp_path: Path, alpha: Provider) -> None:
    with gateway(tmp_path, config({"alpha": alpha.url}, {"smart": ["alpha"]})) as running:
        stop = [str(Path(sys.executable).with_name("oxllm")), "stop", "--wait", "0.2", "--pid", str(running.pid)]
        with socket.create_connection(("127.0.0.1", running.port)) as slow:
            slow.sendall(CHAT[:-1])
            assert eventually(lambda: running.status()["connections"] > 0)
            ended = subprocess.run(stop, capture_output=True, text=True, timeout=60, check=False)
            assert ended.returncode == 1
            assert "is still finishing; " in ended.stderr
            slow.sendall(CHAT[-1:])
            assert slow.recv(12) == b"HTTP/1.1 200"
        assert running.process.wait() == 0
