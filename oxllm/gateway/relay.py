"""Drives one client request: asks `core.request.exchange` what to do, does it, and reports back what happens.

Plain callbacks, no task and no queue: what the provider's connection delivers goes through the exchange
straight into the client's connection. While the client's write buffer is full, the provider is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

import msgspec

from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import BUG
from oxllm.core.request.attempt import Attempt
from oxllm.core.request.effects import Answer, Begin, Cancel, End, Try, Write
from oxllm.core.request.exchange import Exchange
from oxllm.core.request.facts import RequestFacts
from oxllm.core.request.stages import DONE
from oxllm.core.routing.route import Route
from oxllm.core.wire.body import PassedBody, RequestBody
from oxllm.core.wire.errors import api_error
from oxllm.gateway.client.request import Request
from oxllm.gateway.link import Link, Linked
from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.runtime import Generation, Runtime
from oxllm.gateway.upstream.call import Segments
from oxllm.gateway.upstream_request import render


class Relay(Linked):
    """A client request under way. One class, since it is the request's Handler and does all that its exchange says."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_extra_headers",
        "_kept",
        "_links",
        "_over",
        "_results",
        "generation",
        "trace",
    )

    def __init__(
        self,
        runtime: Runtime,
        generation: Generation,
        request: Request,
        body: RequestBody | PassedBody,
        facts: RequestFacts,
        route: Route,
        extra_headers: Headers,
    ) -> None:
        """`extra_headers` are added to whatever response the client gets."""
        self.runtime = runtime
        self.generation: Generation | None = generation
        """None once no further attempt can be made: a stream lasts long, and a config may be large."""
        self._results = generation.router.results
        self.request = request
        self.now = runtime.now
        self.trace = runtime.journal.trace(request)
        self._extra_headers = extra_headers
        self._links: list[Link] = []
        self._kept = 0
        """Bytes of a provider's refusal that the exchange keeps, as last reported to the memory budget."""
        self._over = False
        """The client has its response or has gone."""
        self.full = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf
        retry = generation.plan.retry
        if facts.endpoint.answer:  # asking a provider that does not have it costs next to nothing
            attempts = max(retry.max_attempts, len(route.candidates))
            retry = msgspec.structs.replace(retry, max_attempts=attempts)
        self.exchange = Exchange(
            facts, body, route, generation.router, generation.retry_budget, retry, runtime.rng, self.now()
        )

    def __repr__(self) -> str:
        attempts = self.exchange.books.attempts
        return f"<Relay {self.id} {self.exchange.stage.name} {attempts} attempts {self.pending} B held>"

    @property
    def pending(self) -> int:
        """Bytes from providers that the client has not been sent yet."""
        return sum(link.attempt.pending for link in self._links)

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request.id

    @property
    def wake_at(self) -> float:
        """The exchange's next deadline, in loop time."""
        return self.exchange.alarm.at

    def start(self) -> None:
        """Begin the first attempt."""
        self.runtime.watch(self)
        self.exchange.route.counters.begin()
        self.request.watch(self)
        try:
            self.runtime.journal.begun(self.exchange.facts.protocol.name)
            self.exchange.start(self.now())
            self.perform()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    def expire(self) -> None:
        """The drain deadline has passed: answer with whatever can be said by now, and stop."""
        self._do(self.exchange.expire)

    def _do(self, step: Callable[[float], None]) -> None:
        try:
            step(self.now())
            self.perform()
        except Exception as error:  # noqa: BLE001
            self.crash(error)

    # A bug of ours.

    def crash(self, error: Exception) -> None:
        """Answer 500, or break off a response that has begun, and release everything this one request holds."""
        self.runtime.journal.internal_error(f"request {self.id}", error)
        for step in (self._apologize, self._break_off, self._abandon, self._forget):
            try:
                step()
            except Exception as again:  # noqa: BLE001  the remaining steps must run regardless
                self.runtime.journal.internal_error(f"the end of request {self.id}", again)

    def _apologize(self) -> None:
        self.exchange.crash(self.now())
        self.perform()

    def _break_off(self) -> None:
        """End the response, if the exchange could not do that itself."""
        request, protocol = self.request, self.exchange.facts.protocol
        if request.head_sent:
            request.abort()
        else:
            error = protocol.refusal(api_error(500, f"internal error; the log knows {self.id}"))
            fields = protocol.error_headers(error, self.id)
            request.respond(error.status, self._with_extra(fields), protocol.error_body(error, self.id))

    def _abandon(self) -> None:
        """Release whatever the exchange has not released itself."""
        for link in self._links:
            link.let_go()
            if not link.attempt.ticket.ended:
                self._results.end(link.attempt.ticket, BUG, self.now())

    def _forget(self) -> None:
        self.exchange.body = None
        self._close()
        self.request.release()
        self._tell()

    # client.request.Handler

    def gone(self) -> None:
        """The client left."""
        if not self._over:
            self._do(self.exchange.gone)

    def pause_writing(self) -> None:
        """The client reads more slowly than the provider sends."""
        self.full = True
        for link in self._links:
            link.steer()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.full = False
        for link in self._links:
            link.steer()

    # core.budget.answers.HeldHolder

    def measure(self) -> int:
        """Bytes of a kept refusal; what the links hold is counted separately."""
        return self._kept

    def commit_early(self) -> None:
        """Memory is short: replace the kept refusal by its meaning in our own words."""
        self.exchange.shorten()
        self._kept = self.exchange.kept
        self.runtime.held.hold(self, self._kept)

    # Doing what the exchange says.

    def perform(self) -> None:
        """Carry out the exchange's effects in order, then set the timer for its next deadline."""
        exchange = self.exchange
        given_up = False
        for effect in exchange.take_effects():
            if isinstance(effect, Try):
                self._try(effect.attempt)
            elif isinstance(effect, Answer):
                self.request.respond(effect.status, self._with_extra(effect.headers), effect.body)
            elif isinstance(effect, Write):
                self.request.write(effect.data)
            elif isinstance(effect, Cancel):
                self._cancel(effect.attempt)
                given_up = True
            elif isinstance(effect, Begin):
                self.request.begin(effect.status, self._with_extra(effect.headers), effect.length)
            elif isinstance(effect, End):
                self.request.end()
            else:
                self.request.abort(effect.tail)
        if exchange.drop_body():
            self.request.release()
            self.generation = None
            self._remember_owner()
        if given_up or self._kept:
            self._count_kept()
        if exchange.stage is DONE:
            self._finish()
        elif exchange.alarm.at < self.runtime.next_sweep:
            self.arm()

    def _count_kept(self) -> None:
        """Update the memory budget: a refusal has come that is kept, or one that was kept is no longer needed."""
        kept = self.exchange.kept
        if kept != self._kept:
            self._kept = kept
            self.runtime.held.grew(self, kept, early=True)

    def _with_extra(self, fields: Headers) -> Headers:
        return [*fields, *self._extra_headers] if self._extra_headers else fields

    def arm(self) -> None:
        """Set a timer for the exchange's next deadline, which comes before the next sweep."""
        wake = max(self.exchange.alarm.at, self.runtime.grace.until)
        if wake < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = wake
            self._alarm = self.runtime.loop.call_at(wake, self._tick)

    def _tick(self) -> None:
        self._alarm, self._alarm_at = None, inf
        if self.runtime.in_grace():
            self.arm()
            return
        self._do(self.exchange.tick)
        for link in self._links:
            link.recount()

    def rendered(self, attempt: Attempt) -> tuple[bytes, Segments]:
        body, generation = self.exchange.body, self.generation
        assert body is not None
        assert generation is not None
        return render(attempt, body, self.request, generation, self.trace)

    def _try(self, attempt: Attempt) -> None:
        link = Link(self, attempt)
        self._links.append(link)
        call = link.call = self.runtime.pool.request(attempt.candidate.plan, link)
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

    def _remember_owner(self) -> None:
        """The client has begun to get an answer: remember its provider, since later requests may refer to it."""
        exchange, owners = self.exchange, self.runtime.owners
        winner, about = exchange.winner, exchange.facts.endpoint.answer
        if winner is None:
            return
        answer = winner.reader.id or about
        if answer and winner.status // 100 == exchange.reply.status // 100 == 2:
            model = owners.model(answer) if about else exchange.route.name
            owners.remember(answer, winner.candidate.state.provider.owner, model)

    def _tell(self) -> None:
        """The request has ended: count it and record it, once."""
        if self._over:
            return
        self._over = True
        books, reply, counters = self.exchange.books, self.exchange.reply, self.exchange.route.counters
        counters.end(reply.cause, self.exchange.rescued)
        ended = Ended(self.exchange, self.request.started, self.runtime.wall(), self.now())
        if ended.first_content is not None:
            counters.ttft.observe(ended.first_content)
        self.runtime.journal.request(ended, self.trace, books.changes)

    def _finish(self) -> None:
        """The client has its response or has gone; a provider may still be finishing its body."""
        self._tell()
        if self.exchange.settled:
            self._close()

    def _close(self) -> None:
        if self._kept:
            self.runtime.held.drop(self)
        relays = self.runtime.relays
        if self in relays:
            del relays[self]
        self._links.clear()  # they refer back to us: breaking the cycle frees everything at once
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
