"""asyncio on the reactor: it sleeps when there is nothing to do, and never while there is something."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

import pytest

from oxllm.gateway.reactor.sockets import accept, loop_maker
from tests.support.turned import Told, joined, reset, take, turning

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the reactor stands on epoll, which Linux alone has")

HOUR = 3600.0
QUICK = 30.0
"""Seconds: what would sleep for an hour is given up after that."""


class Acting(Told):
    """Calls `act` when something comes, and `lost` at the end."""

    def __init__(self, act: Callable[[], object] = int, lost: Callable[[], object] = int) -> None:
        super().__init__()
        self.act = act
        self.when_lost = lost

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.act()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.when_lost()


def run(loop: asyncio.AbstractEventLoop) -> None:
    """Until it is stopped, which must be soon. No timer of asyncio's is set meanwhile but one for in an hour."""
    late = loop.call_later(HOUR, lambda: None)
    watchdog = threading.Timer(QUICK, lambda: os.kill(os.getpid(), signal.SIGALRM))
    before = signal.signal(signal.SIGALRM, _too_late)
    watchdog.start()
    try:
        loop.run_forever()
    finally:
        watchdog.cancel()
        watchdog.join()
        signal.signal(signal.SIGALRM, before)
        late.cancel()


def busy(loop: asyncio.AbstractEventLoop) -> float:
    """The share of its time that it works, where there is nothing to do."""
    worked, began = time.process_time(), time.monotonic()
    loop.run_until_complete(asyncio.sleep(0.3))
    return (time.process_time() - worked) / (time.monotonic() - began)


def _too_late(*_: object) -> None:
    raise TimeoutError("it slept though there was something to do")


@pytest.mark.parametrize(
    "stir",
    [
        lambda loop: loop.call_soon(loop.stop),
        lambda loop: loop.call_later(0.001, loop.stop),
        lambda loop: loop.call_at(loop.time(), loop.stop),
        lambda loop: loop.call_soon_threadsafe(loop.stop),
        lambda loop: loop.stop(),
        lambda loop: loop.create_task(_stop(loop)),
        lambda loop: loop.run_in_executor(None, loop.call_soon_threadsafe, loop.stop),
    ],
    ids=["call_soon", "call_later", "call_at", "threadsafe", "stop", "task", "executor"],
)
@pytest.mark.parametrize("where", ["reading", "losing", "losing from outside"])
def test_what_a_connection_asks_of_asyncio_is_done_at_once(
    stir: Callable[[asyncio.AbstractEventLoop], object], where: str
) -> None:
    with turning() as loop:
        peer = Acting(act=lambda: stir(loop)) if where == "reading" else Acting(lost=lambda: stir(loop))
        far = joined(loop, peer)
        if where == "reading":
            far.send(b"go")
        elif where == "losing":
            far.close()
        else:
            peer.transport.abort()
        run(loop)


async def _stop(loop: asyncio.AbstractEventLoop) -> None:
    await asyncio.sleep(0)
    loop.stop()


def test_what_a_lost_connection_makes_another_write_goes_out_before_it_sleeps() -> None:
    with turning() as loop:
        writer = Told()
        far_writer = joined(loop, writer)
        peer = Acting(lost=lambda: writer.transport.write(b"it has gone"))
        far = joined(loop, peer)
        stopper = Acting(act=loop.stop)
        echo = joined(loop, stopper)
        loop.call_soon(peer.transport.abort)
        thread = threading.Thread(target=_relay, args=(far_writer, echo))
        thread.start()
        run(loop)
        thread.join()
        assert stopper.data == b"it has gone"
        for sock in (far_writer, far, echo):
            sock.close()


def _relay(source: socket.socket, target: socket.socket) -> None:
    source.settimeout(QUICK)
    target.send(source.recv(100))


def test_what_a_timer_or_a_task_writes_goes_out_before_it_sleeps() -> None:
    with turning() as loop:
        writer = Told()
        far = joined(loop, writer)
        stopper = Acting(act=loop.stop)
        echo = joined(loop, stopper)
        loop.call_later(0.001, lambda: writer.transport.write(b"due"))
        thread = threading.Thread(target=_relay, args=(far, echo))
        thread.start()
        run(loop)
        thread.join()
        assert stopper.data == b"due"


def test_it_sleeps_while_there_is_nothing_to_do() -> None:
    with turning() as loop:
        joined(loop, Told())
        assert busy(loop) < 0.5


def test_it_sleeps_though_a_connection_that_is_not_read_has_been_reset() -> None:
    """epoll tells of that for as long as it watches."""
    with turning() as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.pause_reading()
        reset(far)
        assert busy(loop) < 0.5
        assert peer.told == ["made"]


def test_timers_are_kept_while_a_connection_is_always_ready() -> None:
    """Two connections that keep each other busy must not starve asyncio."""

    with turning() as loop:
        left, right = Acting(), Acting()
        far_left, far_right = joined(loop, left), joined(loop, right)
        left.act = right.act = lambda: (take(far_left), take(far_right), far_left.send(b"x"), far_right.send(b"x"))
        far_left.send(b"x")
        loop.run_until_complete(asyncio.sleep(0.05))  # else it would never end
        assert len(left.data) > 1


def test_a_signal_wakes_it() -> None:
    with turning() as loop:
        loop.add_signal_handler(signal.SIGUSR1, loop.stop)
        threading.Timer(0.01, lambda: os.kill(os.getpid(), signal.SIGUSR1)).start()
        run(loop)
        loop.remove_signal_handler(signal.SIGUSR1)


def test_asyncio_has_its_own_sockets_children_and_names_beside() -> None:
    async def all_of_it() -> tuple[bytes, bytes, int]:
        server = await asyncio.start_server(_shout, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        heard = await reader.readline()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        child = await asyncio.create_subprocess_exec("echo", "child", stdout=asyncio.subprocess.PIPE)
        said, _ = await child.communicate()
        found = await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        return heard, said, len(found)

    with turning() as loop:
        asyncio.set_event_loop(loop)
        heard, said, found = loop.run_until_complete(asyncio.wait_for(all_of_it(), QUICK))
        asyncio.set_event_loop(None)
        assert (heard, said, found > 0) == (b"HELLO\n", b"child\n", True)


async def _shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


def test_an_interrupt_in_the_middle_of_a_batch_loses_nothing() -> None:
    def interrupt() -> None:
        first.act = int
        raise KeyboardInterrupt

    with turning() as loop:
        first, second = Acting(act=interrupt), Told()
        far, far_second = joined(loop, first), joined(loop, second)
        far.send(b"x")
        far_second.send(b"y")
        first.transport.write(b"gathered")
        with pytest.raises(KeyboardInterrupt):
            run(loop)
        loop.call_later(0.001, loop.stop)
        run(loop)
        assert (second.data, take(far)) == (b"y", (b"gathered", ""))


def test_the_choice_is_by_name() -> None:
    loop = loop_maker("asyncio")()
    assert type(loop).__module__.startswith("asyncio")
    loop.close()
    with pytest.raises(ValueError, match="reactor or asyncio"):
        loop_maker("uvloop")


def test_listening_and_connecting_need_no_task_of_their_own() -> None:
    async def listening() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        listener = await accept(sock, Told, batch=4, backlog=16)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        listener.close()

    with turning() as loop:
        loop.run_until_complete(listening())
