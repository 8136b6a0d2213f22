"""The pool under everything that the world can do to it, against a model that is a list of calls."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections import Counter

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oxllm import plan
from oxllm.core.budget.answers import HeldBudget
from oxllm.gateway.upstream.call import Call
from oxllm.gateway.upstream.origin import IDLE_S
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.upstream.resolver import Address, Resolver
from oxllm.gateway.wheel import Wheel
from tests.support.virtual import MemoryTransport, VirtualLoop
from tests.unit.gateway.fakes import Network, Recorder, lookup_in

PLAIN = plan.Provider("plain", False, "192.0.2.1", 80, "")
NAMED = msgspec.structs.replace(PLAIN, name="named", host="a.example")
PROXIED = msgspec.structs.replace(PLAIN, name="proxied", proxy=plan.Proxy("192.0.2.7", 3128))
PROVIDERS = [PLAIN, NAMED, PROXIED]
ADDRESSES = {"a.example": (Address(socket.AF_INET6, "2001:db8::2"), Address(socket.AF_INET, "192.0.2.2"))}
HOSTS = ["192.0.2.1", "2001:db8::2", "192.0.2.2", "192.0.2.7"]
ANSWERS = [0.0, 0.1, 0.3, 60.0, ConnectionRefusedError(errno.ECONNREFUSED, "")]

picks = st.integers(0, 1000)


class Asked:
    """One request as the model sees it."""

    def __init__(self, number: int, caller: Recorder, call: Call) -> None:
        self.number = number
        self.caller = caller
        self.call = call
        self.cancelled_after: int | None = None

    @property
    def live(self) -> bool:
        return self.cancelled_after is None and not self.caller.over


class PoolMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.network = Network(self.loop)
        names = Resolver(self.loop, lookup_in(ADDRESSES))
        self.pool = Pool(self.loop, Wheel(self.loop), names, HeldBudget(), self.network)
        self.asked: list[Asked] = []
        self.answers: Counter[MemoryTransport] = Counter()

    def waiting(self, transport: MemoryTransport) -> int | None:
        """The number of the request that the peer has read and not answered."""
        asked = re.findall(rb"\r\nnumber: ([0-9]+)\r\n", bytes(transport.written))
        return int(asked[-1]) if len(asked) > self.answers[transport] else None

    def open(self) -> list[MemoryTransport]:
        return self.network.open

    @rule(provider=st.sampled_from(PROVIDERS), settled=st.booleans())
    def request(self, provider: plan.Provider, settled: bool) -> None:
        number = len(self.asked)
        caller = Recorder()
        head = b"POST / HTTP/1.1\r\nnumber: %d\r\n\r\n" % number
        call = caller.ask(self.pool, provider, head, [b"{}"])
        assert caller.events == []
        self.asked.append(Asked(number, caller, call))
        if settled:
            self.loop.settle()

    @precondition(lambda self: any(asked.live for asked in self.asked))
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        live = [asked for asked in self.asked if asked.live]
        asked = live[pick % len(live)]
        asked.cancelled_after = len(asked.caller.events)
        asked.call.cancel()

    @rule(pick=picks)
    def cancel_again(self, pick: int) -> None:
        over = [asked for asked in self.asked if not asked.live]
        if over:
            over[pick % len(over)].call.cancel()

    @precondition(lambda self: self.open())
    @rule(pick=picks, close=st.booleans(), extra=st.sampled_from([b"", b"", b"", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    def answer(self, pick: int, close: bool, extra: bytes) -> None:
        """Whole; on an idle connection it is unasked for."""
        transport = self.open()[pick % len(self.open())]
        body = b"%d" % (-1 if (number := self.waiting(transport)) is None else number)
        self.answers[transport] += 1
        connection = b"connection: close\r\n" if close else b""
        transport.deliver(b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n\r\n%b%b" % (connection, len(body), body, extra))

    @precondition(lambda self: self.open())
    @rule(pick=picks, reset=st.booleans(), begun=st.booleans())
    def die(self, pick: int, reset: bool, begun: bool) -> None:
        transport = self.open()[pick % len(self.open())]
        if begun and self.waiting(transport) is not None:
            transport.deliver(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        transport.lose(ConnectionResetError(errno.ECONNRESET, "")) if reset else transport.eof()

    @rule(host=st.sampled_from(HOSTS), answer=st.sampled_from(ANSWERS))
    def change_the_network(self, host: str, answer: float | OSError) -> None:
        self.network.after[host] = answer

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.2, 0.3, 5.0, IDLE_S + 1]))
    def wait(self, seconds: float) -> None:
        self.loop.advance(seconds)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(kept=st.sets(st.sampled_from(range(len(PROVIDERS)))))
    def reload(self, kept: set[int]) -> None:
        self.pool.retain([PROVIDERS[number] for number in kept])

    @invariant()
    def no_connection_has_two_requests(self) -> None:
        for transport in self.open():
            asked = re.findall(rb"\r\nnumber: ([0-9]+)\r\n", bytes(transport.written))
            assert len(asked) - self.answers[transport] <= 1

    @invariant()
    def every_caller_hears_its_own_answer_and_one_end(self) -> None:
        for asked in self.asked:
            names = asked.caller.names
            assert names.count("connected") <= 1
            assert names.count("sent") <= 1
            assert names.count("end") + names.count("failed") <= 1
            if asked.caller.over:
                assert names[-1] in {"end", "failed"}
            if "end" in names:
                assert asked.caller.body == b"%d" % asked.number
            if asked.cancelled_after is not None:
                assert len(names) == asked.cancelled_after

    @invariant()
    def counts_are_what_is_there(self) -> None:
        live = sum(asked.live for asked in self.asked)
        lent = self.pool.open - self.pool.idle
        assert lent + len(self.pool.connecting) == live
        assert 0 <= self.pool.idle <= self.pool.open

    def teardown(self) -> None:
        for asked in self.asked:
            asked.call.cancel()
        self.loop.settle()
        assert self.pool.open == self.pool.idle == len(self.open())
        self.loop.advance(IDLE_S + 1)
        assert (self.pool.open, len(self.pool.connecting), self.open()) == (0, 0, [])
        assert asyncio.all_tasks(self.loop) == set()
        self.loop.close()


PoolMachine.TestCase.settings = settings(stateful_step_count=40)
TestPool = PoolMachine.TestCase
