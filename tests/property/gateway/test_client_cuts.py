"""However the client's bytes are cut or broken: the same requests, answers in order, and an end for each connection."""

from __future__ import annotations

import re
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm.gateway.client.backlog import BACKLOG_MAX
from oxllm.gateway.client.pace import STALL_S
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.states import CLOSED, SERVING, SKIPPING
from oxllm.plan import Server as Limits
from tests.support.client_side import Bench, chunked, get, post

texts = st.one_of(
    st.binary(max_size=60), st.sampled_from([b"\r\n\r\n", b"0\r\n\r\n", b"\r", b"\n", b"GET / HTTP/1.1\r\n\r\n"])
)
bodies = st.lists(texts, max_size=6).map(b"".join)
UPGRADE = ("Connection: upgrade", "Upgrade: h2c")


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, str, bytes]:
    """The bytes of a valid request, its method and its body."""
    kind = draw(st.sampled_from(["get", "post", "chunked", "upgrade", "blank lines", "continue"]))
    body = b"" if kind in ("get", "blank lines") else draw(bodies)
    match kind:
        case "get":
            return get(f"/{draw(st.integers(0, 99))}?q"), "GET", b""
        case "blank lines":
            return b"\r\n" * draw(st.integers(1, 3)) + get(), "GET", b""
        case "post":
            return post(body), "POST", body
        case "continue":
            return post(body, "Expect: 100-continue"), "POST", body
        case "upgrade":
            return post(body, *UPGRADE), "POST", body
        case _:
            pieces = draw(st.lists(bodies, max_size=4))
            return chunked(*pieces), "POST", b"".join(pieces)


sequences = st.lists(requests(), min_size=1, max_size=8)
cuts = st.one_of(st.just([1]), st.lists(st.integers(1, 200), min_size=1, max_size=20))


def feed(bench: Bench, data: bytes, sizes: list[int]) -> bytes:
    """Send `data` in pieces of `sizes`, over and over, and return what came back."""
    client = bench.client()
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        client.send(data[at : at + size])
        at += size
        turn += 1
    bench.clock.settle()
    client.pump()
    return client.output


@given(sequences, cuts, st.booleans())
def test_any_requests_cut_anywhere_are_the_same_requests_answered_in_order(
    sequence: list[tuple[bytes, str, bytes]], sizes: list[int], later: bool
) -> None:
    bench = Bench()
    seen: list[tuple[str, bytes]] = []

    def serve(request: Request) -> None:
        seen.append((request.method, bytes(request.body)))
        answer = b"answer %d;" % len(seen)
        if later:
            bench.clock.call_soon(request.respond, 200, [], answer)
        else:
            request.respond(200, [], answer)

    bench.service.on_serve = serve
    output = feed(bench, b"".join(data for data, _, _ in sequence), sizes)
    assert seen == [(method, body) for _, method, body in sequence]
    assert re.findall(rb"answer (\d+);", output) == [b"%d" % (number + 1) for number in range(len(sequence))]
    bench.advance(100)
    assert_nothing_left(bench)


def assert_nothing_left(bench: Bench) -> None:
    assert bench.server.connections == 0
    assert len(bench.wheel) == 0
    assert bench.bodies.total == bench.bodies.waiting == bench.server.backlog == 0


TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"0\r\n\r\n", b"\r\n\r\n", b"Content-Length: 5\r\n"),
    *(b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Connection: close\r\n"),
    *(
        b"Upgrade: x\r\nConnection: upgrade\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"CONNECT",
        b"HEAD",
        b"\xff",
        b"FFFFFFFFFFFFFFFF\r\n",
    ),
    *(b"Expect: 100-continue\r\n", b"Expect: x\r\n", b"Content-Length: 70000\r\n"),
]
mutations = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 4), st.one_of(st.sampled_from(TOKENS), st.binary(max_size=3))),
    max_size=4,
)


def mutate(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for where, drop, put in changes:
        at = where % (len(data) + 1)
        data = data[:at] + put + data[at + drop :]
    return data


def reads(data: bytes, sizes: list[int], early: bool) -> tuple[list[tuple[str, bytes, bytes]], list[bytes]]:
    bench = Bench(Limits(max_body_bytes=80_000))
    seen: list[tuple[str, bytes, bytes]] = []

    def serve(request: Request) -> None:
        seen.append((request.method, request.path, bytes(request.body)))
        request.respond(200, [], b"")

    bench.service.on_serve = serve
    if early:
        bench.service.on_head = lambda request: request.respond(401, [], b"") if request.method == "POST" else None
    output = feed(bench, data, sizes)
    bench.advance(200)
    assert_nothing_left(bench)
    return seen, re.findall(rb"HTTP/1\.1 (?!100)(\d+) ", output)


@given(
    st.one_of(
        st.builds(mutate, sequences.map(lambda s: b"".join(data for data, _, _ in s)), mutations),
        st.binary(max_size=300),
    ),
    cuts,
    st.booleans(),
)
def test_garbage_cut_anywhere_never_raises_and_means_the_same_and_ends(
    data: bytes, sizes: list[int], early: bool
) -> None:
    seen, answers = reads(data, sizes, early)
    assert reads(data, [1 << 20], early) == (seen, answers)
    assert len(answers) >= len(seen)


class OneConnection(RuleBasedStateMachine):
    """A client and a service that do what they like, in whatever order."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(Limits(max_body_bytes=200_000, max_buffered_bytes=300_000))
        self.waiting: list[Request] = []
        self.bench.service.on_serve = self.waiting.append
        self.client = self.bench.client()
        self.answered = 0

    @rule(request=requests(), cut=st.integers(0, 50))
    def request(self, request: tuple[bytes, str, bytes], cut: int) -> None:
        self.client.send(request[0][: len(request[0]) - cut] if cut < 5 else request[0])

    @rule(
        size=st.sampled_from([1000, 70_000, 150_000, 200_000, 200_001, 250_000]),
        missing=st.sampled_from([0, 1, 7, 60_000]),
        in_chunks=st.booleans(),
    )
    def upload(self, size: int, missing: int, in_chunks: bool) -> None:
        data = chunked(b"x" * (size - 1), b"x") if in_chunks else post(b"x" * size)
        self.client.send(data[: max(len(data) - missing, 50)])

    @rule(data=st.binary(max_size=20))
    def noise(self, data: bytes) -> None:
        self.client.send(data)

    @rule(size=st.sampled_from([0, 100, 100_000]))
    @precondition(lambda self: self.waiting)
    def respond(self, size: int) -> None:
        self.waiting.pop(0).respond(200, [], b"x" * size)
        self.bench.clock.settle()

    @rule(length=st.sampled_from([None, 5]), whole=st.booleans())
    @precondition(lambda self: self.waiting)
    def stream(self, length: int | None, whole: bool) -> None:
        request = self.waiting.pop(0)
        request.begin(200, [], length)
        request.release()
        request.write(b"piece")
        if whole:
            request.end()
        else:
            request.abort(b"tail")
        self.bench.clock.settle()

    @rule(early=st.booleans())
    def refuse_from_now_on(self, early: bool) -> None:
        self.bench.service.on_head = (
            (lambda request: request.respond(401, [], b"")) if early else (lambda request: None)
        )

    @rule(stuck=st.booleans())
    def take(self, stuck: bool) -> None:
        self.client.transport.room = 0 if stuck else None
        if not stuck and not self.client.transport.lost:
            self.client.transport.take(1 << 30)
            self.bench.clock.settle()

    @rule(seconds=st.sampled_from([0.1, 2.5, 6.0, 21.0, 80.0]))
    def wait(self, seconds: float) -> None:
        self.bench.advance(seconds)
        self.client.pump()

    @rule(kind=st.sampled_from(["eof", "reset", "drain", "another"]))
    def end(self, kind: str) -> None:
        if kind == "eof":
            self.client.half_close()
        elif kind == "reset":
            self.client.transport.abort()
        elif kind == "drain":
            self.bench.drain()
        self.bench.clock.settle()
        if self.client.transport.lost:
            self.waiting.clear()
            self.bench.undrain()
            self.client = self.bench.client()

    @invariant()
    def bounds_are_kept(self) -> None:
        raw = self.client.connection.backlog.data
        assert raw is None or len(raw) < BACKLOG_MAX + 64 * 1024
        assert self.bench.bodies.total <= self.bench.bodies.limit

    @invariant()
    def every_connection_has_a_timer_or_a_request(self) -> None:
        connection = self.client.connection
        if self.client.transport.lost:
            return
        if self.client.transport.unsent:
            assert connection.output.stall is not None
            assert connection.output.stall.timer.when <= self.bench.clock.now + STALL_S
        turns = connection.turns
        if turns.state is CLOSED:
            assert self.client.transport.unsent
        elif turns.request is None or turns.state not in (SERVING, SKIPPING):
            assert turns.timer.when < inf

    def teardown(self) -> None:
        for request in self.waiting:
            request.respond(200, [], b"")
        self.waiting.clear()
        self.bench.service.on_serve = lambda request: request.respond(200, [], b"")
        self.bench.advance(1000)
        assert_nothing_left(self.bench)


TestOneConnection = OneConnection.TestCase
