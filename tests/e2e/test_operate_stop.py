"""Stopping a running `oxllm serve`: signals, exit status, run file, and what the kernel had queued."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oxllm import runfile
from tests.support.chat_bytes import DONE, FINISH, ROLE, token
from tests.support.gateway import CLEAN, run_script
from tests.support.processes import accepts
from tests.support.scripted import GATE, HANG, Scripted, healthy, stream
from tests.support.user import Gateway, config, eventually, gateway

BODY = b'{"model":"smart","messages":[]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY


class Scene:
    def __init__(self, directory: Path, cast: Scripted, running: Gateway) -> None:
        self.directory = directory
        self.alpha = cast.providers["alpha"]
        self.gateway = running

    def kill(self, number: int) -> None:
        os.kill(self.gateway.pid, number)

    def connect(self, request: bytes = CHAT) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=60)
        sock.sendall(request)
        return sock

    def exit_status(self) -> int:
        return self.gateway.process.wait()

    def run_files(self) -> list[str]:
        return os.listdir(self.directory / "run" / "oxllm")


def everything(sock: socket.socket) -> bytes:
    """Until the other side closes."""
    data = b""
    with sock:
        while part := sock.recv(65536):
            data += part
    return data


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]})
        with gateway(tmp_path, text) as running:
            yield Scene(tmp_path, cast, running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_gateway_ends_with_0_and_takes_its_run_file_along(scene: Scene, number: int) -> None:
    assert scene.run_files() == [f"oxllm-{scene.gateway.pid}.json"]
    scene.kill(number)
    assert scene.exit_status() == 0
    assert scene.run_files() == []
    assert "drain: stopped" in scene.gateway.log()


def test_what_the_kernel_had_queued_is_served(scene: Scene) -> None:
    everything(scene.connect(CHAT.replace(b"host: x", b"host: x\r\nconnection: close")))
    scene.kill(signal.SIGSTOP)
    queued = [scene.connect() for _ in range(200)]
    scene.kill(signal.SIGTERM)
    scene.kill(signal.SIGCONT)
    answers = [everything(sock) for sock in queued]
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * 200
    assert all(b"connection: close" in answer for answer in answers)
    assert scene.exit_status() == 0


def test_stop_waits_for_a_stream_and_the_stream_is_whole(scene: Scene) -> None:
    scene.alpha.replies = [stream(ROLE, token("a"), GATE, token("b"), FINISH, DONE)]
    sock = scene.connect(CHAT.replace(b'"messages"', b'"stream":true,"messages"').replace(b": 31", b": 45"))
    assert b"200 OK" in sock.recv(4096)
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(scene.directory / "run")}
    command = [str(Path(sys.executable).with_name("oxllm")), "stop"]
    stop = subprocess.Popen(command, stdout=subprocess.PIPE, env=env, text=True)
    assert eventually(lambda: "drain: stopping, 1 request under way" in scene.gateway.log())
    assert eventually(lambda: not accepts(scene.gateway.port))
    threading.Timer(0.1, scene.alpha.open_gate).start()
    assert everything(sock).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert stop.communicate(timeout=60)[0] == f"stopped (process {scene.gateway.pid})\n"
    assert scene.exit_status() == 0


def test_a_second_signal_ends_it_at_once_and_the_client_is_told(scene: Scene) -> None:
    scene.alpha.replies = [[HANG]]
    sock = scene.connect()
    assert eventually(lambda: len(scene.alpha.asked) == 1)
    scene.kill(signal.SIGTERM)
    assert eventually(lambda: "drain: stopping" in scene.gateway.log())
    scene.kill(signal.SIGTERM)
    assert everything(sock).startswith(b"HTTP/1.1 503 ")
    assert scene.exit_status() == 0
    assert scene.alpha.left.wait(60), "the provider is not left hanging"
    assert scene.run_files() == []


HANGING = """\
import runpy, socket, time
resolve = socket.getaddrinfo
def hang(host, *rest, **more):
    if isinstance(host, bytes) and host != b"127.0.0.1":  # as oxllm asks for a provider
        print("asked", flush=True)
        time.sleep(60)
    return resolve(host, *rest, **more)
socket.getaddrinfo = hang
runpy.run_module("oxllm.gateway", run_name="__main__", alter_sys=True)
"""


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="the plan is handed over in a memfd, which Linux has")
def test_a_name_server_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    script = tmp_path / "hanging.py"
    script.write_text(HANGING)
    with run_script(script, tmp_path, ()) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall(CHAT)
            process.wait_until(lambda: "asked" in process.tail())
        assert process.stop() == 0, "one that is not done after 10 s is killed"
        assert "Traceback" not in process.tail()


def test_the_run_file_is_only_for_its_user(scene: Scene) -> None:
    (run,) = runfile.read_all(str(scene.directory / "run" / "oxllm"))
    assert (run.pid, run.port, run.config) == (
        scene.gateway.pid,
        scene.gateway.port,
        str(scene.directory / "config.toml"),
    )


IMPATIENT = """\
import os, runpy, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
subprocess.Popen(["sh", "-c", "sleep $0; kill -INT $1", sys.argv[1], str(os.getpid())])
sys.argv[1:] = ["serve", "-c", "config.toml"]
runpy.run_module("oxllm", run_name="__main__")
"""


@pytest.mark.parametrize("after_s", [0.08, 0.14, 0.2, 0.26, 0.32, 0.38, 0.44, 0.5, 0.6])
def test_ctrl_c_while_it_starts_ends_it_without_a_traceback(tmp_path: Path, after_s: float) -> None:
    (tmp_path / "config.toml").write_text(config({"alpha": "http://127.0.0.1:9"}, {"smart": ["alpha"]}))
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(tmp_path)}
    command = [sys.executable, "-c", IMPATIENT, str(after_s)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    assert done.returncode in (-signal.SIGINT, 0, 1)


def test_stop_waits_as_long_as_the_gateway_drains_and_a_second_one_cuts_nothing(scene: Scene) -> None:
    scene.alpha.replies = [stream(ROLE, token("a"), GATE, token("b"), FINISH, DONE)]
    sock = scene.connect(CHAT.replace(b'"messages"', b'"stream":true,"messages"').replace(b": 31", b": 45"))
    assert b"200 OK" in sock.recv(4096)
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(scene.directory / "run")}

    def oxllm(*words: str) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).with_name("oxllm")), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)

    first = oxllm("stop")
    assert eventually(lambda: not accepts(scene.gateway.port))
    second = oxllm("stop", "--wait", "0.1")
    assert "already draining, 1 request left, " in second.communicate(timeout=60)[1]
    status = oxllm("status")
    assert "draining, 1 request left, " in status.communicate(timeout=60)[0]
    assert status.returncode == 0
    scene.alpha.open_gate()
    assert everything(sock).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert first.communicate(timeout=60)[0] == f"stopped (process {scene.gateway.pid})\n"


def test_a_stop_in_the_middle_of_a_reload_is_one_all_the_same_and_a_second_stop_cuts_nothing(scene: Scene) -> None:
    scene.alpha.replies = [stream(ROLE, token("a"), GATE, token("b"), FINISH, DONE)]
    sock = scene.connect(CHAT.replace(b'"messages"', b'"stream":true,"messages"').replace(b": 31", b": 45"))
    assert b"200 OK" in sock.recv(4096)
    scene.kill(signal.SIGHUP)
    scene.kill(signal.SIGTERM)
    assert eventually(lambda: "the gateway is stopping" in scene.gateway.log())
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(scene.directory / "run")}
    command = [str(Path(sys.executable).with_name("oxllm")), "stop", "--wait", "0.1"]
    second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "already draining, 1 request left, " in second.stderr
    scene.alpha.open_gate()
    assert everything(sock).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert scene.exit_status() == 0


def test_stop_now_cuts_and_ends_it(scene: Scene) -> None:
    scene.alpha.replies = [[HANG]]
    sock = scene.connect()
    assert eventually(lambda: len(scene.alpha.asked) == 1)
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(scene.directory / "run")}
    command = [str(Path(sys.executable).with_name("oxllm")), "stop", "--now"]
    done = subprocess.run(command, capture_output=True, env=env, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"stopped (process {scene.gateway.pid})\n")
    assert everything(sock).startswith(b"HTTP/1.1 503 ")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is a full disk, which Linux has")
def test_a_full_disk_behind_stderr_keeps_nobody_from_serving(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(config({"alpha": "http://127.0.0.1:9"}, {"smart": ["alpha"]}))
    env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    command = [str(Path(sys.executable).with_name("oxllm")), "serve", "-c", "config.toml"]
    with open("/dev/full", "w") as full, subprocess.Popen(command, cwd=tmp_path, env=env, stderr=full) as serving:
        assert eventually(lambda: bool(runfile.read_all(str(tmp_path / "run" / "oxllm"))))
        (run,) = runfile.read_all(str(tmp_path / "run" / "oxllm"))
        assert accepts(run.port)
        serving.terminate()
        assert serving.wait(60) == 0
