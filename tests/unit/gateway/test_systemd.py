"""The service manager's protocols, against real sockets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from oxllm.gateway import systemd


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"@oxllm-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if abstract else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        systemd.notify("READY=1")
        assert manager.recv(100) == b"READY=1"


def test_a_manager_that_is_not_there_or_deaf_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    systemd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    systemd.notify("READY=1")
    assert list(tmp_path.iterdir()) == []


def test_a_manager_that_does_not_read_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        for number in range(1000):
            systemd.notify(f"STATUS={number}")
        assert manager.recv(100) == b"STATUS=0", "what fitted is there"


def test_sockets_for_another_process_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.sockets() == []
    monkeypatch.delenv("LISTEN_PID")
    assert systemd.sockets() == []


def test_sockets_that_were_handed_over_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        copy = os.dup(listener.fileno())
        os.set_inheritable(copy, True)
        monkeypatch.setattr(systemd, "FIRST_FD", copy)
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        (taken,) = systemd.sockets()
        with taken:
            assert taken.getsockname() == listener.getsockname()
            assert not taken.getblocking()
            assert not taken.get_inheritable()


@pytest.mark.parametrize(
    ("family", "kind", "listens"),
    [
        (socket.AF_UNIX, socket.SOCK_STREAM, True),
        (socket.AF_INET, socket.SOCK_DGRAM, False),
        (socket.AF_INET, socket.SOCK_STREAM, False),
    ],
)
def test_what_cannot_be_served_says_what_to_write(
    family: int, kind: int, listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(family, kind) as sock:
        sock.bind(str(tmp_path / "s") if family == socket.AF_UNIX else ("127.0.0.1", 0))
        if listens:
            sock.listen()
        monkeypatch.setattr(systemd, "FIRST_FD", os.dup(sock.fileno()))
        monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
        monkeypatch.setenv("LISTEN_FDS", "1")
        with pytest.raises(ValueError, match="write ListenStream= with a port"):
            systemd.sockets()


@pytest.mark.parametrize("count", ["1", "2", "99", "x", ""])
def test_what_is_no_socket_cannot_be_served_either(count: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()  # as ListenFIFO= of a .socket unit hands one over
    monkeypatch.setattr(systemd, "FIRST_FD", reader)
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    with pytest.raises(ValueError, match="write ListenStream= with a port"):
        systemd.sockets()
    os.close(reader)
    os.close(writer)
