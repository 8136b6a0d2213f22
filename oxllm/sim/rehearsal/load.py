"""The load of a rehearsal: clients that come when they come, and can tell a whole answer from a part of one.

Open loop: each request starts when it is due, however the ones before it fare, as users do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import httpx
import msgspec

from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal.answer import Answer
from oxllm.sim.rehearsal.question import Question, Questions, lane
from oxllm.sim.rehearsal.schedule import Schedule

PATIENCE_S = 600.0
"""How long a client waits for the end of its answer, and so how long a rehearsal may go on after its last request: what
the SDKs wait. With limits such as 300 s for an answer, a gateway may well rescue a request after minutes."""


EXPLAINED_MAX = 200
"""Requests that the gateway is asked about."""
SLOW_S = 1.0


class Transcript(msgspec.Struct):
    """What one client saw. Times in seconds since the start of the run."""

    number: int
    model: str
    stream: bool
    asked: str
    started: float
    first: float | None = None
    """When the first content came."""
    ended: float | None = None
    status: int | None = None
    verdict: str = "unfinished"
    """whole; refused (an error and no content); broken (an error after content); truncated (no error, and yet not a
    whole answer of any provider); unfinished (the run was ended before)."""
    detail: str = ""
    provider: str | None = None
    id: str | None = None
    """That the gateway gave it."""
    protocol: str = "chat"
    explained: str = ""
    """What the gateway says of it, if it was slow or failed."""

    @property
    def lane(self) -> str:
        """The name that was asked, in this protocol."""
        return lane(self.model, self.protocol)


class Load:
    """Drives one run. `end` stops it early: once, no more requests start; twice, nobody waits for those under way."""

    def __init__(
        self,
        base_url: str,
        seed: int,
        upstreams: Sequence[Upstream],
        questions: Questions,
        schedule: Schedule,
        clock: Callable[[], float],
        headers: Mapping[str, str] | None = None,
        explain: Callable[[httpx.AsyncClient, str], Awaitable[str]] | None = None,
    ) -> None:
        """`explain`: what the gateway says of the request with an id."""
        self._explain = explain
        self._explained = 0
        self.transcripts: list[Transcript] = []
        self._base_url = base_url
        self._seed = seed
        self._upstreams = upstreams
        self._questions = questions
        self._schedule = schedule
        self.due: dict[str, float] = {}
        """Fingerprint of what has been asked -> when it was to be, in seconds since the start."""
        self._clock = clock
        self._headers = headers or {}
        self._no_more = asyncio.Event()
        self._no_wait = asyncio.Event()

    @property
    def ending(self) -> bool:
        """No more requests start."""
        return self._no_more.is_set()

    def end(self) -> None:
        (self._no_wait if self._no_more.is_set() else self._no_more).set()

    async def run(self, duration: float) -> None:
        """Start requests for `duration` seconds and wait for their ends."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        began = asyncio.get_running_loop().time() - self._clock()
        async with httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client:  # noqa: S113
            tasks: list[asyncio.Task[None]] = []
            for number in range(self._schedule.count(duration)):
                due, question = self._schedule.due(number), self._questions[number]
                if await self._until(began + due):
                    break
                self.due[question.asked] = due
                tasks.append(asyncio.create_task(self._one(client, question)))
            await self._all(tasks)

    async def _until(self, when: float) -> bool:
        """Wait until then; True as soon as no more requests are to start."""
        try:
            async with asyncio.timeout_at(when):
                return await self._no_more.wait()
        except TimeoutError:
            return False

    async def _all(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for the ends of all, unless nobody is to wait for them."""
        hurry = asyncio.create_task(self._no_wait.wait())
        ends: set[asyncio.Future[Any]] = {asyncio.gather(*tasks, return_exceptions=True), hurry}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)

    async def _one(self, client: httpx.AsyncClient, question: Question) -> None:
        seen = begun(question, self._clock())
        self.transcripts.append(seen)
        answer = Answer(question.protocol)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._read(client, question, seen, answer)
        except TimeoutError:
            answer.error = f"no end of it within {PATIENCE_S:g}s"
        except httpx.HTTPError as error:
            answer.error = answer.error or type(error).__name__
        answer.end(question.stream, seen.status)
        seen.ended = self._clock()
        seen.verdict, seen.detail = answer.verdict(question, self._seed, self._upstreams)
        if self._explain is not None and self._explained < EXPLAINED_MAX and _is_notable(seen):
            self._explained += 1
            seen.explained = await self._explain(client, seen.id or "")

    async def _read(self, client: httpx.AsyncClient, question: Question, seen: Transcript, answer: Answer) -> None:
        url, headers = self._base_url + question.path, {**self._headers, **question.headers}
        async with client.stream("POST", url, json=question.body, headers=headers) as response:
            seen.status, seen.provider = response.status_code, response.headers.get("x-oxllm-provider")
            seen.id = response.headers.get("x-request-id")
            async for line in response.aiter_lines():
                answer.line(line, question.stream and response.status_code == 200)
                if answer.content and seen.first is None:
                    seen.first = self._clock()


def _is_notable(seen: Transcript) -> bool:
    """Whether it is worth to ask why: it failed, or its first content was late."""
    return seen.verdict != "whole" or (seen.first or seen.started) - seen.started > SLOW_S


def begun(question: Question, now: float) -> Transcript:
    """The transcript of a client that has just asked."""
    return Transcript(question.number, question.model, question.stream, question.asked, now, protocol=question.protocol)
