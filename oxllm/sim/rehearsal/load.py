"""The load of a rehearsal: clients that can tell a whole answer from a truncated one.

Open loop: as with real users, each request starts when it is due, whatever became of those before.
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
"""How long a client waits for the end of its answer, as the SDKs do, and so how long a rehearsal may last after its
last request. With limits such as 300 s for an answer, a gateway may well rescue a request after minutes."""


EXPLAINED_MAX = 200
"""Most requests that the gateway is asked to explain."""
SLOW_S = 1.0


class Transcript(msgspec.Struct):
    """What one client saw. Times are seconds since the start of the run."""

    number: int
    model: str
    stream: bool
    asked: str
    started: float
    first: float | None = None
    """When the first content arrived."""
    ended: float | None = None
    status: int | None = None
    verdict: str = "unfinished"
    """whole; refused (an error without content); broken (an error after content); truncated (no error, but not a whole
    answer of any provider); unfinished (the run ended first)."""
    detail: str = ""
    provider: str | None = None
    id: str | None = None
    """The id that the gateway gave it."""
    protocol: str = "chat"
    explained: str = ""
    """What the gateway says about it, if it was slow or failed."""

    @property
    def lane(self) -> str:
        """The name that was asked for, with the protocol (see `question.lane`)."""
        return lane(self.model, self.protocol)


class Load:
    """Drives one run. The first `end` stops new requests; the second also stops waiting for those under way."""

    def __init__(
        self,
        base_url: str,
        seed: int,
        upstreams: Sequence[Upstream],
        questions: Questions,
        schedule: Schedule,
        clock: Callable[[], float],
        headers: Mapping[str, str],
        explain: Callable[[httpx.AsyncClient, str], Awaitable[str]],
    ) -> None:
        """`explain`: asks the gateway about the request with an id."""
        self._explain = explain
        self._explained = 0
        self.transcripts: list[Transcript] = []
        self._base_url = base_url
        self._seed = seed
        self._upstreams = upstreams
        self._questions = questions
        self._schedule = schedule
        self.due: dict[str, float] = {}
        """Fingerprint of each question so far -> when it was due, in seconds since the start."""
        self._clock = clock
        self._headers = headers
        self._no_more = asyncio.Event()
        self._no_wait = asyncio.Event()

    @property
    def ending(self) -> bool:
        """No new requests are started."""
        return self._no_more.is_set()

    def end(self) -> None:
        (self._no_wait if self._no_more.is_set() else self._no_more).set()

    async def run(self, duration: float) -> None:
        """Start requests for `duration` seconds, then wait for them to end."""
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
        """Wait until `when`; True as soon as no more requests may start."""
        try:
            async with asyncio.timeout_at(when):
                return await self._no_more.wait()
        except TimeoutError:
            return False

    async def _all(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Wait for all requests to end, or for the second call of `end`."""
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
        if self._explained < EXPLAINED_MAX and _is_notable(seen):
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
    """Whether it is worth asking why: it failed, or its first content was late."""
    return seen.verdict != "whole" or (seen.first or seen.started) - seen.started > SLOW_S


def begun(question: Question, now: float) -> Transcript:
    """The transcript of a client that has just asked."""
    return Transcript(question.number, question.model, question.stream, question.asked, now, protocol=question.protocol)
