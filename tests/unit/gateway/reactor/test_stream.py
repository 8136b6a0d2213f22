"""A stream on the reactor and a bridge on asyncio's transport: the interface, on both."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import ExitStack

import pytest

from oxllm.gateway.reactor.sockets import CHOICES
from tests.support.turned import Told, joined, no_room_in_epoll, pair, reset, take, turn, turning

LINUX = sys.platform == "linux"
LARGE = b"x" * 600_000
on_both = pytest.mark.parametrize("choice", CHOICES if LINUX else ["asyncio"])
on_ours = pytest.mark.skipif(not LINUX, reason="the reactor stands on epoll, which Linux alone has")


class Answering(Told):
    """Does something, once, with what it has read."""

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self.answer()

    def answer(self) -> None:
        raise NotImplementedError


class Counting(Told):
    """Counts what the kernel refused."""

    def unsent(self) -> None:
        self.told.append(f"unsent: {self.transport.get_write_buffer_size() > 0}")


@on_both
def test_what_comes_is_read_and_what_is_written_arrives(choice: str) -> None:
    with turning(choice) as loop:
        peer = Told()
        far = joined(loop, peer)
        far.send(b"question")
        turn(loop)
        peer.transport.write(b"ans")
        peer.transport.write(bytearray(b"we"))
        peer.transport.write(memoryview(b"r"))
        turn(loop)
        assert (peer.data, take(far)) == (b"question", (b"answer", ""))


@on_both
def test_it_knows_its_socket_and_both_addresses(choice: str) -> None:
    with turning(choice) as loop:
        peer = Told()
        far = joined(loop, peer)
        transport = peer.transport
        assert transport.get_extra_info("peername") == far.getsockname()
        assert transport.get_extra_info("sockname") == far.getpeername()
        assert transport.get_extra_info("cipher", "none") == "none"
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@on_both
def test_who_takes_nothing_is_noticed_at_once_and_only_once(choice: str) -> None:
    with turning(choice) as loop:
        peer = Counting()
        joined(loop, peer)
        peer.transport.write(LARGE)
        peer.transport.write(b"more")
        turn(loop)
        assert sorted(peer.told) == ["made", "pause", "unsent: True"]


@on_both
def test_what_comes_while_it_closes_is_not_read(choice: str) -> None:
    with turning(choice) as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.write(LARGE)
        turn(loop)
        peer.transport.close()
        far.send(b"too late")
        turn(loop)
        assert peer.data == b""
        reset(far)


@on_ours
def test_a_stream_says_in_a_line_how_far_it_is() -> None:
    with turning("reactor") as loop:
        peer = Told()
        far = joined(loop, peer)
        stream = peer.transport
        number = stream.get_extra_info("socket").fileno()
        assert repr(stream) == f"<Stream OPEN {number}, 0 B unsent>"
        stream.pause_reading()
        stream.write(LARGE)
        turn(loop)
        assert re.fullmatch(rf"<Stream OPEN {number}, not read, [1-9]\d+ B unsent>", repr(stream))
        stream.close()
        assert re.fullmatch(rf"<Stream CLOSING {number}, not read, [1-9]\d+ B unsent>", repr(stream))
        stream.resume_reading()
        assert "not read" in repr(stream), "what closes is read no more"
        reset(far)
        turn(loop)
        assert repr(stream) == f"<Stream ENDED {number}, not read, 0 B unsent>"


@on_both
def test_another_peer_can_take_over(choice: str) -> None:
    with turning(choice) as loop:
        first, second = Told(), Told()
        far = joined(loop, first)
        first.transport.set_protocol(second)
        far.send(b"for the second")
        turn(loop)
        far.close()
        turn(loop)
        assert (first.data, second.data, second.told) == (b"", b"for the second", ["eof", "lost: NoneType"])


@on_ours
def test_who_stays_when_the_other_side_has_ended_is_not_woken_again() -> None:
    """As TLS does while its reader is paused: an end is reported for as long as it is watched for."""

    class Staying(Told):
        def eof_received(self) -> bool:
            super().eof_received()
            return True

    with turning() as loop:
        peer = Staying()
        joined(loop, peer).shutdown(socket.SHUT_WR)
        turn(loop)
        assert peer.told == ["made", "eof"]
        assert loop.reactor.epoll.poll(0) == []  # type: ignore[attr-defined]


@on_both
def test_nothing_can_be_written_behind_the_end(choice: str) -> None:
    with turning(choice) as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.write(b"the last")
        peer.transport.write_eof()
        with pytest.raises(RuntimeError):
            peer.transport.write(b"and yet")
        turn(loop)
        assert take(far) == (b"the last", "end")


@on_both
def test_what_was_written_before_an_abort_is_sent(choice: str) -> None:
    """A TLS alert, or the error event in front of a reset, goes out like this."""
    with turning(choice) as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.write(b"why")
        peer.transport.abort()
        turn(loop)
        assert take(far)[0] == b"why"


@on_both
def test_the_last_words_of_who_breaks_off_can_be_read_while_it_is_lost(choice: str) -> None:
    """Linux gives out what had come before a reset, if one looks before closing."""

    class Curious(Told):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            assert self.transport.get_extra_info("socket").fileno() >= 0

    with turning(choice) as loop:
        peer = Curious()
        far = joined(loop, peer)
        reset(far)
        turn(loop)
        assert peer.told == ["made", "lost: ConnectionResetError"]


@on_both
@pytest.mark.parametrize("where", ["connection_made", "get_buffer", "buffer_updated", "eof_received", "resume_writing"])
def test_a_fault_in_a_callback_ends_its_connection_and_is_told(choice: str, where: str) -> None:
    class Faulty(Told):
        def __getattribute__(self, name: str) -> object:
            if name == where:
                self.told.append(name)
                raise ZeroDivisionError
            return super().__getattribute__(name)

    with turning(choice) as loop:
        peer, other = Faulty(), Told()
        far, far_other = joined(loop, peer), joined(loop, other)
        if where == "resume_writing":
            peer.transport.write(LARGE)
            for _ in range(20):
                take(far)
                turn(loop)
        elif where != "eof_received":
            far.send(b"x")
        else:
            far.shutdown(socket.SHUT_WR)
        far_other.send(b"x")
        turn(loop)
        assert [type(context["exception"]) for context in loop.complaints] == [ZeroDivisionError]  # type: ignore[attr-defined]
        loop.complaints.clear()  # type: ignore[attr-defined]
        assert other.data == b"x"
        if choice == "reactor":
            assert peer.told[-1] == "lost: ZeroDivisionError"


@on_ours
def test_small_writes_of_a_turn_go_out_together_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Chatty(Answering):
        def answer(self) -> None:
            for word in (b"one ", b"two ", b"three"):
                self.transport.write(word)
            self.sent_by_then = take(far)

    with turning() as loop:
        peer = Chatty()
        far = joined(loop, peer)
        far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        far.send(b"go")
        turn(loop)
        assert peer.sent_by_then == (b"", "")
        assert far.recv(100) == b"one two three"


@on_ours
def test_a_large_write_takes_what_was_gathered_along_and_waits_for_no_end() -> None:
    class Chatty(Answering):
        def answer(self) -> None:
            self.transport.write(b"head")
            self.transport.write(b"b" * 20_000)
            self.sent_by_then = take(far)[0]

    with turning() as loop:
        peer = Chatty()
        far = joined(loop, peer)
        far.send(b"go")
        turn(loop)
        assert peer.sent_by_then == b"head" + b"b" * 20_000


@on_ours
def test_what_is_gathered_is_no_part_of_the_write_buffer() -> None:
    with turning() as loop:
        peer = Told()
        joined(loop, peer)
        peer.transport.set_write_buffer_limits(0)
        peer.transport.write(b"little")
        assert peer.transport.get_write_buffer_size() == 0
        turn(loop)
        assert peer.told == ["made"]


@on_ours
def test_a_connection_is_never_told_that_it_is_lost_from_within_its_own_call() -> None:
    class Leaving(Answering):
        def answer(self) -> None:
            self.transport.abort()
            self.told.append("aborted")

    with turning() as loop:
        peer = Leaving()
        far = joined(loop, peer)
        far.send(b"go")
        turn(loop)
        assert peer.told == ["made", "aborted", "lost: NoneType"]


@on_ours
def test_a_closed_loop_leaves_no_socket_open_and_nothing_unsaid() -> None:
    with turning() as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.write(b"bye")
        loop.close()
        assert take(far) == (b"bye", "end")
        assert peer.transport.get_extra_info("socket").fileno() < 0


@on_ours
@pytest.mark.parametrize("unsent", [b"", LARGE], ids=["sent", "unsent"])
def test_what_is_done_with_a_connection_that_has_ended_reaches_nobody_who_has_its_number_now(unsent: bytes) -> None:
    with turning() as loop:
        peer = Told()
        joined(loop, peer)
        transport = peer.transport
        number = transport.get_extra_info("socket").fileno()
        transport.write(unsent)
        transport.abort()
        turn(loop)
        with ExitStack() as stack:
            ends = [stack.enter_context(end) for _ in range(3) for end in pair()]
            assert number in [end.fileno() for end in ends], "the test is about that"
            transport.write(b"late")
            transport.write_eof()
            transport.close()
            transport.abort()
            turn(loop)
            assert [take(end) for end in ends] == [(b"", "")] * len(ends)


class Reading(Told):
    """Has a last look at what has come when it hears that the connection is lost."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.transport.read_last(self)


@pytest.mark.skipif(not LINUX, reason="other kernels drop what was received before a reset")
@on_both
@pytest.mark.parametrize("sent", [b"an answer", b""])
def test_what_came_before_a_connection_broke_can_be_read_when_that_is_told(choice: str, sent: bytes) -> None:
    with turning(choice) as loop:
        peer = Reading()
        far = joined(loop, peer)
        peer.transport.pause_reading()
        peer.transport.write(LARGE)
        turn(loop)
        far.send(sent)
        reset(far)
        turn(loop)
        assert peer.told[-1] in ("lost: ConnectionResetError", "lost: BrokenPipeError")
        assert peer.data == sent


@on_ours
def test_one_that_cannot_be_watched_again_ends_with_the_error() -> None:
    with turning() as loop:
        peer = Told()
        far = joined(loop, peer)
        peer.transport.pause_reading()
        with no_room_in_epoll(loop):
            peer.transport.resume_reading()
            assert peer.transport.is_closing()
            assert peer.told == ["made"], "not from within a call"
            turn(loop)
        assert peer.told == ["made", "lost: OSError"]
        assert take(far) == (b"", "end")
        assert not loop.reactor.watched  # type: ignore[attr-defined]
