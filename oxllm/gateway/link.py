"""One attempt's upstream end: forwards the call's events to the exchange, and applies backpressure to the provider."""

from __future__ import annotations

from collections.abc import Callable

from oxllm.core.budget.answers import HELD_FREE
from oxllm.core.budget.readers import HeldHolder
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import Failure
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.exchange import Exchange
from oxllm.core.request.headers import weight
from oxllm.core.request.phases import COMMITTED
from oxllm.gateway.client.request import Request
from oxllm.gateway.runtime import Runtime
from oxllm.gateway.upstream.call import Call, Caller, Segments


class Linked(HeldHolder):
    """A client request under way, as its links see it."""

    __slots__ = ("exchange", "full", "now", "request", "runtime")

    exchange: Exchange
    full: bool
    """The client reads more slowly than the provider sends."""
    now: Callable[[], float]
    request: Request
    runtime: Runtime

    def rendered(self, attempt: Attempt) -> tuple[bytes, Segments]:
        """The request of this attempt: its head and its body."""
        raise NotImplementedError

    def perform(self) -> None:
        """Do what the exchange wants done."""
        raise NotImplementedError

    def crash(self, error: Exception) -> None:
        """A bug of ours has hit this request: end it, and no other."""
        raise NotImplementedError


class Link(Caller):
    """One attempt's upstream end: passes the events of `Caller` on. One class, since `Caller` has a method for each.

    What it holds is counted only while it exceeds HELD_FREE: most events arrive whole, and cost nothing here.
    """

    __slots__ = ("_counted", "_no_memory", "_paused", "attempt", "call", "relay")

    def __init__(self, relay: Linked, attempt: Attempt) -> None:
        self.relay = relay
        self.attempt = attempt
        self.call: Call | None = None
        self._counted = False
        """Whether the budget for held answers is counting this link."""
        self._no_memory = self._paused = False

    # upstream.call.Caller. A bug of ours in any of them ends this request, and no other.

    def request(self) -> tuple[bytes, Segments]:
        return self.relay.rendered(self.attempt)

    def connected(self) -> None:
        try:
            self.attempt.connected(self.relay.now())
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)

    def waits(self, yes: bool) -> None:
        try:
            self.attempt.waits(yes, self.relay.now())
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)

    def may_send(self) -> bool:
        try:
            return self.relay.exchange.may_send(self.attempt, self.relay.now())
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)
            return False

    def reconnecting(self) -> bool:
        try:
            now = self.relay.now()
            if not self.relay.exchange.may_send(self.attempt, now):
                return False
            self.attempt.reconnecting(now)
            return True
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)
            return False

    def sent(self) -> None:
        try:
            self.attempt.sent(self.relay.now())
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)

    def room(self) -> int:
        try:
            return self.relay.runtime.held.room(self, self.attempt.pending + self.relay.request.unsent)
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)
            return 1

    def heading(self, size: int) -> None:
        try:
            self._keep(size)
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)

    def head(self, status: int, fields: Headers) -> None:
        relay, attempt = self.relay, self.attempt
        try:
            relay.exchange.head(attempt, status, fields, relay.now(), relay.runtime.wall())
            relay.perform()
            self._keep(weight(attempt.headers if 200 <= status < 300 else fields))
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def data(self, data: bytes) -> None:
        relay, attempt = self.relay, self.attempt
        try:
            ready = relay.exchange.data(attempt, data, relay.now())
            if ready:
                relay.request.write(ready)
            else:
                relay.perform()
            committed = attempt.phase is COMMITTED
            if self._counted or not committed or data[-2:] != b"\n\n":  # else only whole events came: none is held
                self._grew(attempt.pending, committed)
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def end(self) -> None:
        relay = self.relay
        self.call = None
        try:
            relay.exchange.end(self.attempt, relay.now())
            relay.perform()
            self.recount()
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def whole(self, status: int, fields: Headers, body: bytes) -> None:
        relay = self.relay
        self.call = None
        try:
            relay.exchange.whole(self.attempt, status, fields, body, relay.now(), relay.runtime.wall())
            relay.perform()
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def failed(self, failure: Failure, before_response: bool, detail: str) -> None:
        relay = self.relay
        self.call = None
        try:
            if failure is Failure.LOCAL:
                relay.runtime.journal.shortage(detail, relay.now())
            relay.exchange.failed(self.attempt, failure, before_response, detail, relay.now())
            relay.perform()
            self.recount()
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def crashed(self, error: Exception) -> None:
        self.relay.crash(error)

    # HeldHolder

    def measure(self) -> int:
        return self.attempt.pending

    def commit_early(self) -> None:
        relay = self.relay
        try:
            relay.exchange.commit_early(self.attempt, relay.now())
            relay.perform()
            self.recount()
        except Exception as error:  # noqa: BLE001
            relay.crash(error)

    def pause(self) -> None:
        self._no_memory = True
        self.steer()

    def resume(self) -> None:
        self._no_memory = False
        self.steer()

    def recount(self) -> None:
        """Something was passed on: update the budget, since less may be held now."""
        if self._counted:
            size = self.attempt.pending
            self._counted = size > HELD_FREE
            self.relay.runtime.held.hold(self, size)

    def _keep(self, head_bytes: int) -> None:
        """Count what is kept of the response's head."""
        self.attempt.head_bytes = head_bytes
        self._grew(self.attempt.pending, committed=True)

    def _grew(self, size: int, committed: bool) -> None:
        if size > HELD_FREE:
            self._counted = True
            self.relay.runtime.held.grew(self, size, early=not committed)
        else:
            self.recount()

    def steer(self) -> None:
        """Pause or resume reading the provider: paused while the client's buffer is full or memory is short."""
        paused = self._no_memory or self.relay.full
        if paused == self._paused or self.call is None:
            return
        self._paused = paused
        try:
            if paused:
                self.call.pause()
                self.attempt.pause(self.relay.now())
            else:
                self.call.resume()
                self.attempt.resume(self.relay.now())
        except Exception as error:  # noqa: BLE001
            self.relay.crash(error)

    def let_go(self) -> None:
        """Nothing more is wanted from this attempt: release what it holds and cancel its call."""
        self.relay.runtime.held.drop(self)
        call, self.call = self.call, None
        if call is not None:
            call.cancel()
