"""A serving process begins with a plan and an address, or says in one line why it cannot."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import shutil
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oxllm import plan as plans
from oxllm import runfile
from oxllm.cli import machine
from oxllm.gateway import listening, process, run_file_writer
from oxllm.gateway.listening import BindError, listen
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.sink import NonBlocking
from oxllm.gateway.process import main, raise_file_limit
from oxllm.gateway.reactor.sockets import accept
from oxllm.gateway.transport import Transport
from oxllm.plan import Plan, Server
from tests.support.turned import Told
from tests.support.virtual import VirtualLoop


def handed_over(data: bytes) -> int:
    fd = os.memfd_create("plan") if hasattr(os, "memfd_create") else os.open("/tmp", os.O_TMPFILE | os.O_RDWR)
    os.write(fd, data)
    return fd


@pytest.mark.parametrize("data", [b"", b"{}", b"not JSON", b"[1, 2]"])
def test_what_is_no_plan_ends_with_1_and_a_line_that_holds_nothing_of_it(
    data: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--plan-fd", str(handed_over(data))]) == 1
    error = capfd.readouterr().err
    assert error.startswith("oxllm: not a plan")
    assert error.count("\n") == 1


def test_sockets_are_served_by_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OXLLM_SOCKETS", "uvloop")
    assert main(["--plan-fd", str(handed_over(plans.encode(Plan())))]) == 1
    assert "served by reactor or asyncio, not by 'uvloop'" in capsys.readouterr().err


def test_a_descriptor_that_is_not_open_says_how_to_start(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--plan-fd", "987"]) == 1
    assert "start with `oxllm serve`" in capfd.readouterr().err


def test_an_address_in_use_is_named_with_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--plan-fd", str(handed_over(plans.encode(Plan(server=Server(port=port)))))]) == 1
    error = capfd.readouterr().err
    assert f"cannot bind 127.0.0.1:{port}" in error
    assert "`oxllm status`" in error


def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(BindError, match=r"cannot bind no-such-host\.invalid: .*server\.host"):
        listen(Server(port=0, listen=("no-such-host.invalid",)))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_a_listener_accepts_holds_no_small_event_back(host: str) -> None:
    """asyncio turns Nagle's algorithm off only for a socket that says it is TCP: 40 ms at the end of each stream."""
    nodelay: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Accepted(Told):
        def connection_made(self, transport: Transport) -> None:
            sock = transport.get_extra_info("socket")
            nodelay.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    sockets = listen(Server(port=0, listen=(host,)))
    server = await accept(sockets[0], Accepted, batch=64, backlog=64)
    with socket.create_connection(sockets[0].getsockname()[:2], timeout=60):
        assert await nodelay
    server.close()
    for sock in sockets:
        sock.close()


def test_of_several_addresses_all_get_the_port_that_the_first_chose() -> None:
    sockets = listen(Server(port=0, bind_family="dual", listen=("127.0.0.1", "127.0.0.2")))
    try:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(sockets) == 2
        assert len(ports) == 1
        assert 0 not in ports
    finally:
        for sock in sockets:
            sock.close()


NAME: dict[int, list[tuple[Any, ...]]] = {
    socket.AF_INET: [("127.0.0.1", 0), ("127.0.0.2", 0), ("127.0.0.1", 0)],
    socket.AF_INET6: [("::1", 0, 0, 0)],
}
"""What a name means that has addresses of both families, one of them twice, as in some hosts files."""


@pytest.mark.parametrize(
    ("family", "bound"),
    [
        ("dual", ["127.0.0.1", "127.0.0.2", "::1"]),
        ("ipv4", ["127.0.0.1", "127.0.0.2"]),
        ("ipv6", ["::1"]),
    ],
)
def test_all_addresses_of_a_name_are_bound_each_once(
    family: str, bound: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(host: str, port: None, family: int, kind: int) -> list[Any]:
        return [
            (family_, kind, 6, "", address)
            for family_, addresses in NAME.items()
            for address in addresses
            if family in (0, family_)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    sockets = listen(Server(port=0, bind_family=family, listen=("gateway.lan",)))
    try:
        assert [sock.getsockname()[0] for sock in sockets] == bound
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def arrives(listener: socket.socket, host: str) -> bool:
    """Whether who connects there comes to this listener: another program may have the same port at another address."""
    try:
        client = socket.create_connection((host, listener.getsockname()[1]), timeout=5)
    except OSError:
        return False
    with client:
        arrived, _, _ = select.select([listener], [], [], 1)
        if arrived:
            listener.accept()[0].close()
        return bool(arrived)


@pytest.mark.parametrize(
    ("family", "reaches"), [("dual", ["127.0.0.1", "::1"]), ("ipv6", ["::1"]), ("ipv4", ["127.0.0.1"])]
)
def test_a_wildcard_takes_the_families_that_it_names(family: str, reaches: list[str]) -> None:
    wildcard = "0.0.0.0" if family == "ipv4" else "::"
    (sock,) = listen(Server(port=0, bind_family=family, listen=(wildcard,)))
    with sock:
        assert [host for host in ("127.0.0.1", "::1") if arrives(sock, host)] == reaches


def test_an_address_of_no_interface_says_what_to_look_at() -> None:
    with pytest.raises(BindError, match=r"cannot bind 192\.0\.2\.1:0: .*server\.host"):
        listen(Server(port=0, listen=("192.0.2.1",)))


def test_a_port_that_is_not_for_everybody_says_who_may_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def bind(self, _address: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(BindError, match=r"cannot bind 127\.0\.0\.1:80: .*CAP_NET_BIND_SERVICE.*server\.port"):
        listen(Server(port=80))


def test_a_short_limit_of_open_files_lowers_max_connections_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    connections, warning = raise_file_limit(Server(max_connections=4096))
    assert raised == [(1024, 1024)]
    assert connections == (1024 - process.FDS_OF_OUR_OWN) // 2
    assert warning is not None
    assert "from 4096 to 416" in warning


def test_the_doctor_and_the_manual_count_as_the_gateway_does() -> None:
    assert (machine.FILES_OF_OUR_OWN, machine.BACKLOG) == (process.FDS_OF_OUR_OWN, listening.BACKLOG)
    manual = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"two files a connection, and {process.FDS_OF_OUR_OWN} of its own" in " ".join(manual.split())


def test_enough_open_files_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_000_000, 1_000_000))
    assert raise_file_limit(Server(max_connections=4096)) == (4096, None)


def test_the_run_file_of_a_wildcard_names_an_address_to_connect_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with socket.create_server(("0.0.0.0", 0)) as sock:
        written = run_file_writer.RunFileWriter([sock], None)  # type: ignore[arg-type]
        written.write(Plan(server=Server(admin_token="hush")))
        (found,) = runfile.read_all(str(tmp_path))
        assert (found.host, found.port, found.admin_token) == ("127.0.0.1", sock.getsockname()[1], "hush")
        written.remove()
    assert runfile.read_all(str(tmp_path)) == []


def test_a_run_file_that_says_draining_says_so_whatever_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a second `oxllm stop` would send a second signal, which cuts what is under way."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        written = run_file_writer.RunFileWriter([sock], None)  # type: ignore[arg-type]
        written.write(Plan())
        written.drains(9.0, 2)
        written.write(Plan(server=Server(admin_token="hush")))
        (found,) = runfile.read_all(str(tmp_path))
        written.remove()
    assert found.admin_token == "hush"
    assert found.draining is not None
    assert found.draining.requests == 2


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        (("127.0.0.0/8", "::1/128"), "::1"),
        (("10.0.0.0/8", "127.0.0.0/8"), "127.0.0.1"),
        (("::1",), "::1"),
        (("10.0.0.0/8",), "::1"),
    ],
)
def test_the_run_file_names_an_address_from_which_commands_are_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: tuple[str, ...], host: str
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        written = run_file_writer.RunFileWriter([sock], None)  # type: ignore[arg-type]
        written.write(Plan(server=Server(admin_allow=allowed)))
        (found,) = runfile.read_all(str(tmp_path))
        assert (found.host, found.listen) == (host, ("::", "0.0.0.0"))
        written.remove()


def test_why_it_does_not_start_is_json_where_the_log_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert process.main(["--plan-fd", "999", "--log-format", "json"]) == 1
    event = msgspec.json.decode(capsys.readouterr().err)
    assert (event["event"], "--plan-fd 999 is not readable" in event["message"]) == ("error", True)


def test_without_a_place_for_the_run_file_it_serves_and_logs_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file"))
    loop = asyncio.new_event_loop()
    reader, writer = os.pipe()
    log = Log(loop, NonBlocking(writer), lambda: 0.0)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        writer_of_it = run_file_writer.RunFileWriter([sock], log)
        writer_of_it.write(Plan())
        writer_of_it.drains(30.0, 1)
    log.flush()
    said = os.read(reader, 4096)
    advice = f"no run file in {tmp_path / 'file'}, so commands need --url, and `oxllm stop` --pid {os.getpid()}: "
    assert said.count(advice.encode()) == 1, said
    os.close(reader)
    os.close(writer)
    loop.close()


def test_a_run_file_that_has_gone_is_back_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cleaners delete what is old in /tmp, and the end of a user's last session takes $XDG_RUNTIME_DIR along."""
    session = tmp_path / "session"
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
    loop = VirtualLoop()
    reader, writer = os.pipe()
    log = Log(loop, NonBlocking(writer), lambda: 0.0)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        kept = run_file_writer.RunFileWriter([sock], log)
        kept.write(Plan())
        kept.keep(loop)
        (path,) = (session / "oxllm").iterdir()
        before = path.stat().st_ino
        loop.advance(5 * run_file_writer.KEPT_S)
        assert path.stat().st_ino == before, "it is left alone"
        shutil.rmtree(session)
        session.touch()  # nothing can be written there for now
        loop.advance(3 * run_file_writer.KEPT_S)
        session.unlink()
        loop.advance(run_file_writer.KEPT_S)
        assert [run.pid for run in runfile.read_all(str(session / "oxllm"))] == [os.getpid()]
        kept.remove()
        assert not path.exists()
    log.flush()
    assert os.read(reader, 4096).count(b"no run file in ") == 1
    os.close(reader)
    os.close(writer)
    loop.close()
