"""The pool: which connection a call gets, what happens when it dies, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Iterator

import msgspec
import pytest

from oxllm import plan
from oxllm.core.budget.answers import HeldBudget
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Transport
from oxllm.gateway.upstream.call import Segments
from oxllm.gateway.upstream.connection import SLICE, UpstreamConnection
from oxllm.gateway.upstream.dial import VANISHED_S, dial
from oxllm.gateway.upstream.failure import Broken
from oxllm.gateway.upstream.opening import STAGGER_S, interleave
from oxllm.gateway.upstream.origin import DISTRUST_S, IDLE_MAX, IDLE_S, TLS_IDLE_MAX, OriginConnections, origin_of
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.upstream.pooled_call import DEAD_S
from oxllm.gateway.upstream.resolver import LOCALHOST, RETRY_S, Address, Resolver
from oxllm.gateway.wheel import TICK, Wheel
from tests.support.turned import Told
from tests.support.virtual import MemoryTransport, VirtualLoop
from tests.unit.gateway.fakes import Network, Recorder

A = plan.Provider("a", False, "192.0.2.1", 80, "/v1")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "")
UNREACHABLE = OSError(errno.ENETUNREACH, "")


def v4(last: int) -> Address:
    return Address(socket.AF_INET, f"192.0.2.{last}")


def v6(last: int) -> Address:
    return Address(socket.AF_INET6, f"2001:db8::{last}")


class Rig:
    """A pool on a virtual loop, over a network in memory."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.network = Network(self.loop)
        self.table: dict[str, tuple[Address, ...]] = {}
        self.names = Resolver(self.loop, self.lookup)
        self.wheel = Wheel(self.loop)
        self.pool = Pool(self.loop, self.wheel, self.names, HeldBudget(), self.network)

    async def lookup(self, host: str) -> tuple[Address, ...]:
        await asyncio.sleep(0.1)
        if host not in self.table:
            raise socket.gaierror(socket.EAI_NONAME, "")
        return self.table[host]

    def request(self, provider: plan.Provider = A, body: bytes | memoryview = b"{}") -> Recorder:
        caller = Recorder()
        caller.ask(self.pool, provider, b"POST /v1 HTTP/1.1\r\nhost: a\r\n\r\n", [body])
        assert caller.events == []
        self.loop.settle()
        return caller

    def done(self, provider: plan.Provider = A) -> MemoryTransport:
        """One request served, its connection idle."""
        caller = self.request(provider)
        transport = self.network.made[-1]
        transport.deliver(OK)
        assert caller.names[-1] == "end"
        return transport

    def is_clean(self) -> bool:
        """Whether nothing at all is left."""
        self.loop.settle()
        return (self.pool.open, len(self.pool.connecting), len(self.network.open)) == (0, 0, 0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.pool.close()
    assert rig.is_clean()
    rig.names.close()
    rig.loop.settle()
    assert asyncio.all_tasks(rig.loop) == set()
    rig.loop.close()


def test_a_connection_serves_one_request_after_another(rig: Rig) -> None:
    rig.done()
    assert (rig.pool.idle, rig.pool.open) == (1, 1)
    caller = rig.request()
    assert (rig.pool.idle, rig.pool.open) == (0, 1)
    assert caller.events == []
    assert caller.call is not None
    assert caller.call.reused
    rig.network.made[0].deliver(OK)
    assert len(rig.network.made) == 1


@pytest.mark.parametrize("reads", [[OK + OK], [OK, OK], [OK[:-1], OK[-1:] + b"?"]], ids=["at once", "later", "a byte"])
def test_an_origin_that_answered_unasked_gets_no_second_request_on_a_connection_for_a_minute(
    rig: Rig, reads: list[bytes]
) -> None:
    """What it sends next could be taken for the answer to whatever is asked on that connection then."""
    first, second = rig.request(), rig.request()
    rig.network.made[1].deliver(OK)
    assert (second.names[-1], rig.pool.idle) == ("end", 1)
    for data in reads:
        rig.network.made[0].deliver(data)
    assert first.names[-1] == "end"
    assert rig.pool.idle == 0, "the other connection is no better"
    rig.done()
    assert rig.pool.idle == 0
    rig.loop.advance(DISTRUST_S + 0.1)
    rig.done()
    assert rig.pool.idle == 1


def test_an_origin_that_closes_what_is_idle_is_trusted(rig: Rig) -> None:
    rig.done().eof()
    rig.done()
    assert rig.pool.idle == 1


def test_bytes_go_out_at_once_on_an_idle_connection(rig: Rig) -> None:
    transport = rig.done()
    transport.written.clear()
    Recorder().ask(rig.pool, A, b"head", [b"body"])
    assert bytes(transport.written) == b"headbody"


@pytest.mark.parametrize("reused", [True, False])
def test_of_a_large_request_its_caller_hears_as_it_is_taken_until_all_of_it_is(rig: Rig, reused: bool) -> None:
    if reused:
        rig.done().room = SLICE
    rig.network.greet = lambda transport: setattr(transport, "room", SLICE)
    caller = rig.request(body=b"x" * 3 * SLICE)
    transport = rig.network.made[-1]
    for taken in range(3):
        assert caller.taken == taken
        transport.take(SLICE)
    assert (caller.taken, bytes(transport.unsent)) == (3, b"")
    assert caller.events == [*([] if reused else ["connected"]), "sent"]


def test_a_busy_connection_is_not_shared(rig: Rig) -> None:
    rig.request()
    rig.request()
    assert len(rig.network.made) == 2


def test_the_youngest_idle_connection_is_taken(rig: Rig) -> None:
    rig.request()
    rig.request()
    first, second = rig.network.made
    second.deliver(OK)
    first.deliver(OK)
    rig.request()
    assert len(first.written) > len(second.written)


@pytest.mark.parametrize(
    "change",
    [
        {"host": "192.0.2.9"},
        {"port": 81},
        {"proxy": plan.Proxy("192.0.2.7", 3128)},
    ],
)
def test_origins_do_not_share_connections(rig: Rig, change: dict[str, object]) -> None:
    rig.done()
    rig.request(msgspec.structs.replace(A, **change))
    assert len(rig.network.made) == 2


def test_providers_with_one_origin_share_connections(rig: Rig) -> None:
    rig.done()
    rig.request(msgspec.structs.replace(A, name="b", path="/v2", api_key="k"))
    assert len(rig.network.made) == 1


def test_idle_connections_expire_each_in_its_time(rig: Rig) -> None:
    rig.request()
    rig.request()
    first, second = rig.network.made
    first.deliver(OK)
    rig.loop.advance(10)
    second.deliver(OK)
    rig.loop.advance(IDLE_S - 10 + 2 * TICK)
    assert (first.closing, first.aborted, second.closing) == (True, False, False)
    rig.loop.advance(10)
    assert second.closing
    assert rig.is_clean()


def test_the_last_idle_connection_takes_its_timer_along(rig: Rig) -> None:
    rig.done()
    assert len(rig.wheel) == 1
    rig.network.made[0].eof()
    assert (rig.pool.open, len(rig.wheel)) == (0, 0)


def test_a_connection_in_use_does_not_expire(rig: Rig) -> None:
    rig.done()
    rig.request()
    rig.loop.advance(2 * IDLE_S)
    assert rig.pool.open == 1


def test_no_more_connections_idle_than_the_limit_and_the_oldest_goes(rig: Rig) -> None:
    for _ in range(IDLE_MAX + 1):
        rig.request()
    for transport in rig.network.made:
        transport.deliver(OK)
    assert rig.pool.idle == IDLE_MAX
    assert [transport.closing for transport in rig.network.made[:2]] == [True, False]


def test_a_crowd_that_is_answered_at_once_finds_its_connections_again(rig: Rig) -> None:
    for _ in range(3):
        for _ in range(300):
            rig.request()
        for transport in rig.network.made:
            transport.deliver(OK)
    assert len(rig.network.made) == 300


@pytest.mark.parametrize(("tls", "most"), [(False, IDLE_MAX), (True, TLS_IDLE_MAX)])
def test_fewer_connections_idle_over_tls_since_they_are_larger(rig: Rig, tls: bool, most: int) -> None:
    connections = OriginConnections(origin_of(msgspec.structs.replace(A, tls=tls)), rig.loop, rig.wheel, set())
    for _ in range(IDLE_MAX + 1):
        connection = UpstreamConnection(memoryview(bytearray(1)), HeldBudget(), connections.closed)
        connection.connection_made(MemoryTransport(rig.loop, connection))
        connections.put_back(connection)
    assert len(connections.idle) == most


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", OK + b"x"]
)
def test_what_cannot_be_reused_is_closed(rig: Rig, response: bytes) -> None:
    caller = rig.request()
    rig.network.made[0].deliver(response)
    assert caller.names[-1] == "end"
    assert rig.is_clean()


# The free retry


@pytest.mark.parametrize("death", ["eof", "reset"])
def test_a_reused_connection_that_dies_before_any_byte_is_replaced_unseen(rig: Rig, death: str) -> None:
    old = rig.done()
    caller = rig.request(body=b"precious")
    old.eof() if death == "eof" else old.lose(ConnectionResetError(errno.ECONNRESET, ""))
    rig.loop.settle()
    new = rig.network.made[1]
    assert bytes(new.written).endswith(b"\r\n\r\nprecious")
    new.deliver(OK)
    again = ["reconnecting", "connected", "sent"]
    assert caller.names == [*again, "head", "data", "end"]
    assert caller.call is not None
    assert not caller.call.reused


@pytest.mark.parametrize(("silent_s", "free"), [(DEAD_S - 0.1, True), (DEAD_S + 0.1, False)])
def test_a_reused_connection_that_has_lived_on_for_long_was_not_dead(rig: Rig, silent_s: float, free: bool) -> None:
    """What it says of a provider that it has worked for a minute and then broke is what it says on any connection."""
    old = rig.done()
    caller = rig.request()
    rig.loop.advance(silent_s)
    old.lose(ConnectionResetError(errno.ECONNRESET, ""))
    rig.loop.settle()
    assert (caller.events[0] == "reconnecting") is free
    assert (caller.events == [("failed", Failure.RESET, True, "")]) is not free
    assert len(rig.network.made) == 1 + free


def test_the_free_retry_is_made_once(rig: Rig) -> None:
    old = rig.done()
    caller = rig.request()
    old.eof()
    rig.loop.settle()
    rig.network.made[1].eof()
    assert caller.events[-1] == ("failed", Failure.EOF, True, "")
    assert len(rig.network.made) == 2


def test_the_free_retry_is_not_made_when_the_caller_wants_none(rig: Rig) -> None:
    old = rig.done()
    caller = rig.request()
    caller.reconnects = False
    old.eof()
    rig.loop.settle()
    assert caller.events == ["reconnecting", ("failed", Failure.WITHHELD, True, "")]
    assert len(rig.network.made) == 1
    assert rig.is_clean()


def test_a_request_that_is_not_to_go_out_on_its_new_connection_leaves_it_for_the_next(rig: Rig) -> None:
    caller = Recorder()
    caller.sends = False
    caller.ask(rig.pool, A, b"POST /v1 HTTP/1.1\r\nhost: a\r\n\r\n", [b"{}"])
    rig.loop.settle()
    assert caller.events == [("failed", Failure.WITHHELD, True, "")]
    assert not rig.network.made[0].written
    again = rig.request().call
    assert again is not None
    assert again.reused
    assert rig.network.made[0].written


def test_a_reused_connection_that_dies_after_a_byte_is_a_failure(rig: Rig) -> None:
    old = rig.done()
    caller = rig.request()
    old.deliver(b"H")
    old.eof()
    assert caller.events[-1] == ("failed", Failure.EOF, False, "in the head")


def test_a_new_connection_that_dies_before_any_byte_is_a_failure(rig: Rig) -> None:
    caller = rig.request()
    rig.network.made[0].eof()
    assert caller.events == ["connected", "sent", ("failed", Failure.EOF, True, "")]


@pytest.mark.parametrize("news", [OK, b""], ids=["an answer", "its end"])
def test_a_connection_on_which_something_waits_to_be_read_is_not_lent(rig: Rig, news: bytes) -> None:
    """An answer older than its request is nobody's."""
    near, far = socket.socketpair()
    with near, far:
        rig.network.sock = near
        old = rig.done()
        assert rig.request().call.reused  # type: ignore[union-attr]
        old.deliver(OK)
        far.send(news) if news else far.close()
        caller = rig.request()
        assert caller.names == ["connected", "sent"]
        assert old.closing
        assert len(rig.network.made) == 2


class Rendering(Recorder):
    """A caller that renders its request each time it is asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray(b"{}")
        self.rendered = 0

    def request(self) -> tuple[bytes, Segments]:
        self.rendered += 1
        return b"head", [memoryview(self.content)]


def test_a_request_is_asked_for_when_it_is_written_and_nobody_keeps_it(rig: Rig) -> None:
    rig.network.after = {A.host: 0.5}
    new, reused = Rendering(), Rendering()
    new.call = rig.pool.request(A, new)
    rig.loop.advance(0.4)
    assert new.rendered == 0
    rig.loop.advance(0.2)
    assert (new.rendered, bytes(rig.network.made[0].written)) == (1, b"head{}")
    new.content.clear()  # which fails while anybody has a view of it
    rig.network.made[0].deliver(OK)
    reused.call = rig.pool.request(A, reused)
    rig.loop.settle()
    reused.content[:] = b"[again]"
    rig.network.made[0].eof()
    rig.loop.advance(0.6)
    assert (reused.rendered, bytes(rig.network.made[1].written)) == (2, b"head[again]")
    assert not new.content
    reused.call.cancel()


# Connecting


def named(rig: Rig, *addresses: Address) -> plan.Provider:
    rig.table["a.example"] = addresses
    return msgspec.structs.replace(A, host="a.example")


def test_families_alternate() -> None:
    assert interleave([v6(1), v6(2), v6(3), v4(1)]) == [v6(1), v4(1), v6(2), v6(3)]
    assert interleave([v4(1)]) == [v4(1)]


def test_a_slow_address_is_overtaken_by_the_next(rig: Rig) -> None:
    rig.network.after = {v6(1).host: 9.0, v4(1).host: 0.05}
    provider = named(rig, v6(1), v4(1), v4(2))
    start = rig.loop.time()
    caller = rig.request(provider)
    rig.loop.advance(1)
    assert caller.names == ["connected", "sent"]
    dialled = [(round(at - start, 3), host) for at, host in rig.network.dialled]
    assert dialled == [(0.1, v6(1).host), (0.1 + STAGGER_S, v4(1).host)]
    assert rig.network.cancelled == 1
    assert len(rig.network.open) == 1


def test_a_refused_address_is_followed_by_the_next_at_once(rig: Rig) -> None:
    rig.network.after = {v6(1).host: REFUSED}
    caller = rig.request(named(rig, v6(1), v4(1)))
    rig.loop.advance(0.1)
    assert caller.names == ["connected", "sent"]
    assert rig.network.dialled[0][0] == rig.network.dialled[1][0]


def test_the_most_telling_error_is_reported_when_all_addresses_fail(rig: Rig) -> None:
    rig.network.after = {v6(1).host: UNREACHABLE, v4(1).host: REFUSED}
    caller = rig.request(named(rig, v6(1), v4(1)))
    rig.loop.advance(1)
    assert caller.events == [("failed", Failure.REFUSED, True, "")]
    assert rig.is_clean()


def test_a_family_that_is_missing_here_does_not_hide_what_the_other_address_said(rig: Rig) -> None:
    rig.network.after = {v6(1).host: OSError(errno.EADDRNOTAVAIL, ""), v4(1).host: UNREACHABLE}
    caller = rig.request(named(rig, v6(1), v4(1)))
    rig.loop.advance(1)
    assert caller.events == [("failed", Failure.LOCAL, True, "no local address or port left")]


def test_of_two_that_connect_at_the_same_time_one_is_closed(rig: Rig) -> None:
    rig.network.after = {v6(1).host: STAGGER_S + 0.1, v4(1).host: 0.1}
    rig.request(named(rig, v6(1), v4(1)))
    rig.loop.advance(1)
    assert len(rig.network.made) == 2
    assert len(rig.network.open) == rig.pool.open == 1


def test_a_name_that_is_not_found_fails(rig: Rig) -> None:
    caller = rig.request(msgspec.structs.replace(A, host="nobody.example"))
    rig.loop.advance(1)
    assert caller.events == [("failed", Failure.DNS, True, "no such host")]


@pytest.mark.parametrize("old", ["refuses", "is silent", "is somebody else's"])
def test_a_provider_that_has_moved_is_found_as_soon_as_its_old_address_is_of_no_use(rig: Rig, old: str) -> None:
    provider = named(rig, v4(1))
    rig.request(provider)
    rig.loop.advance(RETRY_S)
    named(rig, v4(2))
    ends: dict[str, float | OSError] = {"refuses": REFUSED, "is silent": 600.0}
    rig.network.after = {v4(1).host: ends.get(old, 0.0)}
    rig.network.shakes_hands = old == "is somebody else's"
    rig.network.greet = lambda transport: transport.lose(Broken(Failure.TLS, "certificate is for another host"))
    caller = rig.request(provider)
    rig.loop.advance(1)
    assert caller.call is not None
    caller.call.cancel()
    rig.request(provider)
    rig.loop.advance(1)
    assert [host for _, host in rig.network.dialled] == [v4(1).host, v4(1).host, v4(2).host]


def test_a_connection_that_closes_at_once_fails(rig: Rig) -> None:
    rig.network.after = {"192.0.2.1": 0.5}
    caller = Recorder()

    def die() -> None:
        rig.network.made[0].eof()

    caller.on["connected"] = die
    caller.ask(rig.pool, A, b"", [])
    rig.loop.advance(1)
    assert caller.events[-1] == ("failed", Failure.EOF, True, "")


# A connection that is gone before its request could go out


@pytest.mark.parametrize("ends", ["eof", "speaks", "lost"])
@pytest.mark.parametrize("addresses", [1, 2])
@pytest.mark.parametrize("shakes_hands", [False, True])
def test_a_connection_that_ends_the_moment_it_is_made_is_a_failure_at_once(
    rig: Rig, ends: str, addresses: int, shakes_hands: bool
) -> None:
    def end(transport: MemoryTransport) -> None:
        if ends == "eof":
            transport.eof()
        elif ends == "speaks":
            transport.deliver(b"unasked")
        else:
            transport.lose(ConnectionResetError(errno.ECONNRESET, ""))

    rig.network.greet = end
    rig.network.shakes_hands = shakes_hands
    caller = rig.request(named(rig, *[v4(1), v4(2)][:addresses]))
    rig.loop.advance(1)
    assert [event[:3] for event in caller.events] == [
        ("failed", Failure.RESET if ends == "lost" else Failure.EOF, True)
    ]
    assert rig.is_clean()


# Cancelling


@pytest.mark.parametrize("at", [0.0, 0.05, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7])
@pytest.mark.parametrize("turns", range(8))
def test_a_call_cancelled_at_any_turn_of_its_connecting_leaves_nothing(rig: Rig, at: float, turns: int) -> None:
    """0.1 the name is known, 0.35 the second address is tried, 0.5 and 0.6 they answer."""
    rig.network.after = {v6(1).host: 0.4, v4(1).host: 0.25}
    provider = named(rig, v6(1), v4(1))
    caller = Recorder()
    call = caller.ask(rig.pool, provider, b"head", [b"x" * 200_000])
    if at:
        rig.loop.run_until_complete(asyncio.sleep(at))
    for _ in range(turns):
        rig.loop.call_soon(rig.loop.stop)
        rig.loop.run_forever()
    call.cancel()
    call.cancel()
    events = list(caller.events)
    rig.loop.advance(2)
    assert caller.events == events
    assert rig.is_clean()


@pytest.mark.parametrize(
    ("phase", "reused"),
    [(phase, False) for phase in ("connected", "sent", "head", "data", "end")]
    + [(phase, True) for phase in ("head", "data", "end")],
)
def test_a_call_cancelled_from_any_callback_leaves_nothing_but_a_whole_answers_connection(
    rig: Rig, phase: str, reused: bool
) -> None:
    if reused:
        rig.done()
    caller = Recorder()
    call = caller.ask(rig.pool, A, b"head", [b"body"])
    caller.on[phase] = call.cancel
    rig.loop.settle()
    for part in (OK[:-1], OK[-1:]):
        rig.network.made[0].deliver(part)
    rig.loop.settle()
    assert caller.names[-1] == phase
    assert rig.pool.open == rig.pool.idle == len(rig.network.open) == (phase == "end")


def test_a_request_made_from_within_end_goes_over_the_same_connection(rig: Rig) -> None:
    caller, next_caller = Recorder(), Recorder()
    caller.on["end"] = lambda: next_caller.ask(rig.pool, A, b"again", [])
    caller.ask(rig.pool, A, b"head", [])
    rig.loop.settle()
    rig.network.made[0].deliver(OK)
    assert bytes(rig.network.made[0].written) == b"headagain"
    rig.loop.settle()
    rig.network.made[0].deliver(OK)
    assert next_caller.names == ["head", "data", "end"]


def test_pausing_stops_the_reading_and_the_idle_connection_reads_again(rig: Rig) -> None:
    caller = rig.request()
    transport = rig.network.made[0]
    call = caller.call
    assert call is not None
    reading = []
    for act in (call.pause, call.resume, call.pause, lambda: transport.deliver(OK), call.resume, call.pause):
        act()
        reading.append(transport.is_reading())
    assert reading == [False, True, False, True, True, True]


def test_a_call_paused_while_connecting_does_not_read(rig: Rig) -> None:
    caller = Recorder()
    caller.ask(rig.pool, A, b"head", []).pause()
    rig.loop.settle()
    assert not rig.network.made[0].is_reading()


def test_one_that_goes_on_while_connecting_does(rig: Rig) -> None:
    call = Recorder().ask(rig.pool, A, b"head", [])
    call.pause()
    call.resume()
    rig.loop.settle()
    assert rig.network.made[0].is_reading()


# Reload and close


def test_a_reload_closes_what_no_provider_needs_and_keeps_the_rest(rig: Rig) -> None:
    gone = msgspec.structs.replace(A, name="gone", host="192.0.2.2")
    kept, idle = rig.done(), rig.done(gone)
    running = rig.request(gone)
    old = rig.network.made[-1]
    assert old is idle
    rig.request(gone)
    rig.network.made[-1].deliver(OK)
    rig.pool.retain([A])
    assert [transport.closing for transport in rig.network.made] == [False, False, True]
    old.deliver(OK)
    assert running.names[-1] == "end"
    assert old.closing
    assert not kept.closing
    assert (rig.pool.idle, rig.pool.open) == (1, 1)


def test_closing_the_pool_ends_everything_and_reports_nothing(rig: Rig) -> None:
    rig.done()
    rig.done(msgspec.structs.replace(A, port=81))
    under_way = rig.request()
    rig.network.after = {"192.0.2.3": 9.0}
    connecting = rig.request(msgspec.structs.replace(A, host="192.0.2.3"))
    rig.pool.close()
    assert rig.is_clean()
    assert under_way.names == []
    assert connecting.events == []


# Proxies


PROXY = plan.Proxy("192.0.2.7", 3128, "Basic dTpw")


def test_an_http_provider_is_asked_in_absolute_form_through_its_proxy(rig: Rig) -> None:
    rig.request(msgspec.structs.replace(A, proxy=PROXY), b"{}")
    assert rig.network.dialled[0][1] == "192.0.2.7"
    assert bytes(rig.network.made[0].written) == (
        b"POST http://192.0.2.1:80/v1 HTTP/1.1\r\nhost: a\r\nproxy-authorization: Basic dTpw\r\n\r\n{}"
    )


def test_what_keeps_us_from_the_proxy_is_the_proxys_fault(rig: Rig) -> None:
    rig.network.after = {"192.0.2.7": REFUSED}
    caller = rig.request(msgspec.structs.replace(A, proxy=PROXY))
    assert caller.events == [("failed", Failure.PROXY, True, "connection refused")]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 9\r\n\r\n", "HTTP 407"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\npage", "HTTP 403"),
        (b"SSH-2.0-x\r\n\r\n", "not an HTTP proxy"),
        (b"HTTP/1.1 200 OK\r\n\r\nx", "bytes before the tunnel"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000, "answer too large"),
    ],
)
def test_a_tunnel_that_is_not_given_is_the_proxys_fault(rig: Rig, answer: bytes, why: str) -> None:
    caller = rig.request(msgspec.structs.replace(A, tls=True, host="2001:db8::5", port=443, proxy=PROXY))
    assert bytes(rig.network.made[0].written).startswith(b"CONNECT [2001:db8::5]:443 HTTP/1.1\r\n")
    for at in range(0, len(answer), 7):
        rig.network.made[0].deliver(answer[at : at + 7])
    if not why.startswith("bytes") or not caller.events:
        rig.network.made[0].eof()
    rig.loop.settle()
    assert caller.events == [("failed", Failure.PROXY, True, why)]
    assert rig.is_clean()


def test_a_tunnel_is_waited_for_through_interim_responses(rig: Rig) -> None:
    """RFC 9110 section 15.2: any number of them may come before the one that counts."""
    caller = rig.request(msgspec.structs.replace(A, tls=True, proxy=PROXY))
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n"
    for at in range(0, len(answer), 7):
        rig.network.made[0].deliver(answer[at : at + 7])
    rig.loop.settle()
    assert caller.events == [("failed", Failure.PROXY, True, "HTTP 403")]


@pytest.mark.parametrize("end", [MemoryTransport.eof, lambda transport: transport.lose(UNREACHABLE)])
def test_a_proxy_that_leaves_is_at_fault(rig: Rig, end: object) -> None:
    caller = rig.request(msgspec.structs.replace(A, tls=True, proxy=PROXY))
    end(rig.network.made[0])  # type: ignore[operator]
    rig.loop.settle()
    assert caller.events[0][:3] == ("failed", Failure.PROXY, True)


def test_a_call_cancelled_in_the_tunnel_leaves_nothing(rig: Rig) -> None:
    caller = rig.request(msgspec.structs.replace(A, tls=True, proxy=PROXY))
    assert caller.call is not None
    caller.call.cancel()
    assert rig.is_clean()


# Sockets


async def test_dialling_sets_the_options_of_a_long_lived_connection() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    over: asyncio.Future[Transport | Exception] = loop.create_future()
    dial(LOCALHOST[0], server.sockets[0].getsockname()[1], Told(), over.set_result)
    transport = await over
    assert not isinstance(transport, Exception)
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    if sys.platform == "linux":
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == VANISHED_S * 1000 == 10_000
    transport.abort()
    server.close()
    await asyncio.sleep(0)


async def test_what_cannot_even_begin_to_connect_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Short(socket.socket):
        def setblocking(self, flag: bool) -> None:
            made.append(self)
            raise OSError(errno.ENOBUFS, "")

    monkeypatch.setattr("socket.socket", Short)
    with pytest.raises(OSError, match=str(errno.ENOBUFS)):
        dial(LOCALHOST[0], 9, Told(), print)
    assert [sock.fileno() for sock in made] == [-1]


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels drop what was received before a reset")
async def test_an_answer_is_read_although_the_server_reset_the_connection_while_we_wrote() -> None:
    loop = asyncio.get_running_loop()
    pool = Pool(loop, Wheel(loop), Resolver(loop), HeldBudget())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller, over, connected = Recorder(), asyncio.Event(), asyncio.Event()
        caller.on = {"connected": connected.set, "end": over.set, "failed": over.set}
        provider = msgspec.structs.replace(A, host="127.0.0.1", port=listener.getsockname()[1])
        call = caller.ask(pool, provider, b"head", [b"x" * 20_000_000])
        await connected.wait()
        call.pause()  # so that the failing write is what we notice first
        peer, _ = listener.accept()
        peer.recv(100)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        peer.close()  # with unread bytes: a reset
        await asyncio.wait_for(over.wait(), 20)
    assert caller.names == ["connected", "head", "data", "end"]
    assert pool.open == 0
