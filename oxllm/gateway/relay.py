"""Drives one client request: asks `core.exchange`, does what it says, reports back.

Plain callbacks, no task and no queue: what the provider's connection delivers goes through the exchange
straight into the client's connection. When the client's side is full the provider is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

import msgspec

from oxllm.core.attempt import COMMITTED as PASSED_ON
from oxllm.core.attempt import Attempt
from oxllm.core.body import PassedBody, RequestBody
from oxllm.core.budget.answers import HELD_FREE, HeldHolder
from oxllm.core.effects import Answer, Begin, Cancel, End, Try, Write
from oxllm.core.errors import api_error
from oxllm.core.exchange import Exchange
from oxllm.core.facts import Facts
from oxllm.core.headers import upstream
from oxllm.core.hints import Headers
from oxllm.core.outcome import BUG, Failure
from oxllm.core.route import Route
from oxllm.core.stages import COMMITTED, DONE
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe.records import Record
from oxllm.gateway.runtime import Generation, Runtime
from oxllm.gateway.upstream.call import Call

TRACE: Final = b"traceparent"
GO_ALONG = frozenset((b"anthropic-beta", b"anthropic-version", b"openai-beta"))
"""A head that has none of them has nothing that goes along."""


class Link(HeldHolder):
    """One attempt's end at the upstream: what `upstream.call.Caller` names, handed on to the relay.

    What it holds is counted only while that is more than HELD_FREE: most events come whole, and cost nothing here.
    """

    __slots__ = ("_counted", "_no_memory", "_paused", "attempt", "call", "relay")

    def __init__(self, relay: Relay, attempt: Attempt) -> None:
        self.relay = relay
        self.attempt = attempt
        self.call: Call | None = None
        self._counted = False
        """Whether the budget for what is held knows of it."""
        self._no_memory = self._paused = False

    # upstream.call.Caller. A bug of ours in any of them ends this request, and no other.

    def connected(self) -> None:
        try:
            self.attempt.connected(self.relay.now())
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

    def head(self, status: int, fields: list[tuple[bytes, bytes]]) -> None:
        relay = self.relay
        try:
            relay.exchange.head(self.attempt, status, fields, relay.now(), relay.runtime.wall())
            relay.perform()
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
            committed = attempt.phase is PASSED_ON
            if self._counted or not committed or data[-2:] != b"\n\n":  # else: nothing but whole events
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

    def whole(self, status: int, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
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
        """Something was passed on: it may hold less."""
        if self._counted:
            size = self.attempt.pending
            self._counted = size > HELD_FREE
            self.relay.runtime.held.hold(self, size)

    def _grew(self, size: int, committed: bool) -> None:
        if size > HELD_FREE:
            self._counted = True
            self.relay.runtime.held.grew(self, size, not committed)
        else:
            self.recount()

    def steer(self) -> None:
        """Have the provider read or not: not while the client is full, nor while there is no memory for more."""
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
        """Nothing more is wanted of it: give back all that it has."""
        self.relay.runtime.held.drop(self)
        call, self.call = self.call, None
        if call is not None:
            call.cancel()


class Relay(HeldHolder):
    """A client request under way. One class, since it is the request's Handler and does all that its exchange says."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_body",
        "_extra_headers",
        "_kept",
        "_links",
        "_over",
        "exchange",
        "facts",
        "full",
        "generation",
        "now",
        "request",
        "route",
        "runtime",
        "trace",
    )

    def __init__(
        self,
        runtime: Runtime,
        generation: Generation,
        request: Request,
        body: RequestBody | PassedBody,
        facts: Facts,
        route: Route,
        extra_headers: list[tuple[bytes, bytes]],
    ) -> None:
        """`extra_headers` go with whatever response the client gets."""
        self.runtime = runtime
        self.generation = generation
        self.request = request
        self.facts = facts
        self.route = route
        self.now = runtime.now
        self.trace = runtime.journal.trace(request.get(TRACE))
        self._body: RequestBody | PassedBody | None = body
        self._extra_headers = extra_headers
        self._links: list[Link] = []
        self._kept = 0
        """Bytes of a refusal that the exchange keeps, as counted."""
        self._over = False
        self.full = False
        """The client takes less than the provider gives."""
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf
        retry = generation.plan.retry
        if facts.endpoint.answer:  # whoever does not have it costs next to nothing
            attempts = max(retry.max_attempts, len(route.candidates))
            retry = msgspec.structs.replace(retry, max_attempts=attempts)
        self.exchange = Exchange(
            facts, route, generation.router, generation.retry_budget, retry, runtime.rng, self.now()
        )
        self.exchange.body = body

    def __repr__(self) -> str:
        attempts = self.exchange.books.attempts
        return f"<Relay {self.id} {self.exchange.stage.name} {attempts} attempts {self.pending} B held>"

    @property
    def pending(self) -> int:
        """Bytes held of what the providers have sent."""
        return sum(link.attempt.pending for link in self._links)

    @property
    def id(self) -> str:
        """Of the request."""
        return self.request.id

    @property
    def wake_at(self) -> float:
        """When one of the exchange's clocks is due, in loop time."""
        return self.exchange.alarm.at

    def start(self) -> None:
        """Begin the first attempt."""
        self.runtime.watch(self)
        self.route.counters.begin()
        self.request.watch(self)
        try:
            self.runtime.journal.begun(self.facts.protocol.name)
            self.exchange.start(self.now())
            self.perform()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    def expire(self) -> None:
        """The drain's time is over: answer with what can be said, and stop."""
        self._do(self.exchange.expire)

    def _do(self, step: Callable[[float], None]) -> None:
        try:
            step(self.now())
            self.perform()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    # A bug of ours.

    def crash(self, error: Exception) -> None:
        """Answer with a 500, or break off what has begun, and give back all that this one request has."""
        self.runtime.journal.internal_error(f"request {self.id}", error)
        for step in (self._apologize, self._break_off, self._abandon, self._forget):
            try:
                step()
            except Exception as again:  # noqa: BLE001  the rest has to be given back all the same
                self.runtime.journal.internal_error(f"the end of request {self.id}", again)

    def _apologize(self) -> None:
        self.exchange.crash(self.now())
        self.perform()

    def _break_off(self) -> None:
        """If the exchange could not do that itself."""
        request, protocol = self.request, self.facts.protocol
        if request.head_sent and not request.finished:
            request.abort()
        elif not request.finished:
            error = protocol.refusal(api_error(500, f"internal error; the log knows {self.id}"))
            fields = protocol.error_headers(error, self.id)
            request.respond(error.status, self._with_extra(fields), protocol.error_body(error, self.id))

    def _abandon(self) -> None:
        """Whatever the exchange has not given back."""
        for link in self._links:
            link.let_go()
            if not link.attempt.ticket.ended:
                self.generation.router.results.end(link.attempt.ticket, BUG, self.now())

    def _forget(self) -> None:
        self._body = None
        self._close()
        self.request.release()
        if not self._over:
            self._over = True
            self._tell()

    # client.request.Handler

    def gone(self) -> None:
        """The client left."""
        if not self._over:
            self._do(self.exchange.gone)

    def pause_writing(self) -> None:
        """The client takes less than the provider gives."""
        self.full = True
        for link in self._links:
            link.steer()

    def resume_writing(self) -> None:
        """The client has room again."""
        self.full = False
        for link in self._links:
            link.steer()

    # Doing what the exchange says.

    def perform(self) -> None:
        """Do each of the exchange's effects in order, then set the timer for the next look at the clocks."""
        exchange = self.exchange
        given_up = False
        for effect in exchange.take_effects():
            if isinstance(effect, Write):
                self.request.write(effect.data)
            elif isinstance(effect, Answer):
                self.request.respond(effect.status, self._with_extra(effect.headers), effect.body)
            elif isinstance(effect, Try):
                self._try(effect.attempt)
            elif isinstance(effect, Cancel):
                self._cancel(effect.attempt)
                given_up = True
            elif isinstance(effect, Begin):
                self.request.begin(effect.status, self._with_extra(effect.headers), effect.length)
            elif isinstance(effect, End):
                self.request.end()
            else:
                self.request.abort(effect.tail)
        stage = exchange.stage
        if self._body is not None and (stage is COMMITTED or stage is DONE):
            self._body = exchange.body = None
            self.request.release()
            remember_owner(self)
        if given_up or self._kept:
            self._count_kept()
        if stage is DONE:
            self._finish()
        elif exchange.alarm.at < self.runtime.next_sweep:
            self.arm()

    def _count_kept(self) -> None:
        """A provider has refused, or its refusal is needed no more."""
        kept = self.exchange.kept
        if kept != self._kept:
            self._kept = kept
            self.runtime.held.grew(self, kept, True)

    def _with_extra(self, fields: Headers) -> Headers:
        return [*fields, *self._extra_headers] if self._extra_headers else fields

    def arm(self) -> None:
        """Have the exchange's clocks looked at exactly at the next one: it is due before the next sweep."""
        wake = self.exchange.alarm.at
        if wake < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = wake
            self._alarm = self.runtime.loop.call_at(wake, self._tick)

    def _tick(self) -> None:
        self._alarm, self._alarm_at = None, inf
        self._do(self.exchange.tick)
        for link in self._links:
            link.recount()

    def _try(self, attempt: Attempt) -> None:
        assert self._body is not None
        provider = attempt.candidate.plan
        facts, request = self.facts, self.request
        protocol = facts.protocol
        ask_usage = facts.asked.stream and provider.usage_in_stream and protocol.stream_options
        length, segments = self._body.render(attempt.model, provider.extra_body, ask_usage)
        head = self.generation.upstream_head(provider, facts)
        if request.query and protocol.passes_query:
            head = head.replace(b" HTTP/1.1\r\n", b"?%b HTTP/1.1\r\n" % request.query, 1)
        fields = request.fields()
        if protocol.upstream_defaults or not GO_ALONG.isdisjoint(fields):
            head += upstream(request.headers, provider, protocol)
        trace = fields.get(TRACE) if self.trace is None else self.trace.header(attempt.number)
        if trace is None:
            head = b"%bcontent-length: %d\r\n\r\n" % (head, length)
        else:
            head = b"%btraceparent: %b\r\ncontent-length: %d\r\n\r\n" % (head, trace, length)
        link = Link(self, attempt)
        self._links.append(link)
        call = link.call = self.runtime.pool.request(provider, head, segments, link)
        if call.reused:
            link.connected()
        if self.full:
            link.steer()

    def _cancel(self, attempt: Attempt) -> None:
        for link in self._links:
            if link.attempt is attempt:
                self._links.remove(link)
                link.let_go()
                return

    def _tell(self) -> None:
        """The request has ended: count it, and have it remembered."""
        books, reply, counters = self.exchange.books, self.exchange.reply, self.route.counters
        counters.end(reply.cause, books.attempts > 1 and reply.error is None)
        record = record_of(self)
        if record.first_content is not None:
            counters.ttft.observe(record.first_content)
        self.runtime.journal.request(record, self.trace, books.changes)

    def _finish(self) -> None:
        """The client has its response, or has gone; a provider may still be ending its body."""
        if not self._over:
            self._over = True
            self._tell()
        if self.exchange.settled:
            self._close()

    def measure(self) -> int:
        """Bytes held of a refusal, beside what its links hold."""
        return self._kept

    def commit_early(self) -> None:
        """There is no memory for it."""
        self.exchange.shorten()
        self._kept = self.exchange.kept
        self.runtime.held.hold(self, self._kept)

    def _close(self) -> None:
        self.runtime.held.drop(self)
        self.runtime.relays.pop(self, None)
        self._links.clear()  # they refer back to us: without the cycle all goes at once
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


def remember_owner(relay: Relay) -> None:
    """The client has begun to get an answer: who made it may be asked for it again."""
    winner = relay.exchange.winner
    if winner is None:
        return
    answer = winner.reader.id or relay.facts.endpoint.answer
    if answer and winner.status // 100 == relay.exchange.reply.status // 100 == 2:
        owners = relay.runtime.owners
        model = owners.model(answer) if relay.facts.endpoint.answer else relay.route.name
        owners.remember(answer, winner.candidate.state.provider.owner, model)


def record_of(relay: Relay) -> Record:
    """What is remembered of a request that has ended."""
    exchange, runtime = relay.exchange, relay.runtime
    books, winner = exchange.books, exchange.winner
    started, usage = relay.request.started, books.usage
    provider = model = content = response_model = None
    reasons: tuple[str, ...] = ()
    if winner is not None:
        provider, model = winner.candidate.state.provider.name, winner.model
        response_model, reasons = winner.reader.model, winner.reader.reasons
        if winner.content_at is not None:
            content = winner.content_at - started
    prompt, completion, cached = None, None, None
    if usage is not None:
        prompt, completion, cached = usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens
    return Record(
        relay.request.id,
        runtime.wall(),
        relay.route.name,
        relay.facts.asked.stream,
        exchange.reply.status,
        provider,
        model,
        books.attempts,
        content,
        relay.now() - started,
        prompt,
        completion,
        exchange.reply.error,
        tuple(books.steps),
        books.skips,
        relay.facts.protocol.name,
        cached,
        response_model,
        reasons,
    )
