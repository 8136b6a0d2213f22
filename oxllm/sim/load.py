"""The load of a rehearsal: clients that come when they come, and can tell a whole answer from a part of one.

Open loop: request i starts at i / rps, however the ones before it fare, as users do. Every request asks something of
its own, so that its attempts can be found in the ledgers and its answer compared with what each provider would say.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
import msgspec

from . import text
from .chance import Chance
from .exchange import answer_length
from .request import fingerprint
from .scenario import Upstream

GRACE_S = 75.0
"""After the last request has started, how long those under way have to finish: a stream that a black hole swallowed is
rescued when `first_byte` (60 s) is over."""
CLIENT_TIMEOUT_S = 600.0
"""What the SDKs wait."""


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
    whole answer of any provider); unfinished (the run ended before)."""
    detail: str = ""
    provider: str | None = None


class Load:
    """Drives one run. `models`: the virtual models; `streams`: share of requests that stream."""

    def __init__(
        self,
        base_url: str,
        seed: int,
        upstreams: Sequence[Upstream],
        models: Sequence[str],
        rps: float,
        streams: float,
        clock: Callable[[], float],
    ) -> None:
        self.transcripts: list[Transcript] = []
        self._base_url = base_url
        self._seed = seed
        self._upstreams = upstreams
        self._models = models
        self._rps = rps
        self._streams = streams
        self._clock = clock

    async def run(self, duration: float) -> None:
        """Start requests for `duration` seconds and wait for their ends."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with httpx.AsyncClient(timeout=CLIENT_TIMEOUT_S, limits=limits, trust_env=False) as client:
            tasks = []
            for number in range(max(1, int(duration * self._rps))):
                await asyncio.sleep(began + number / self._rps - loop.time())
                tasks.append(asyncio.create_task(self._one(client, number)))
            _, late = await asyncio.wait(tasks, timeout=GRACE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, client: httpx.AsyncClient, number: int) -> None:
        messages = [{"role": "user", "content": f"Rehearsal {self._seed}, question {number}."}]
        stream = Chance(self._seed, "load", number).draw("stream") < self._streams
        model = self._models[number % len(self._models)]
        seen = Transcript(number, model, stream, fingerprint(messages), self._clock())
        self.transcripts.append(seen)
        body = {"model": model, "messages": messages, "stream": stream}
        answer = Answer()
        try:
            async with client.stream("POST", f"{self._base_url}/chat/completions", json=body) as response:
                seen.status, seen.provider = response.status_code, response.headers.get("x-oxllm-provider")
                async for line in response.aiter_lines():
                    answer.line(line, stream and response.status_code == 200)
                    if answer.content and seen.first is None:
                        seen.first = self._clock()
        except httpx.HTTPError as error:
            answer.error = answer.error or type(error).__name__
        answer.end(stream, seen.status)
        seen.ended = self._clock()
        seen.verdict, seen.detail = self._judge(seen, answer)

    def _judge(self, seen: Transcript, answer: Answer) -> tuple[str, str]:
        if answer.error is not None:
            return ("broken" if answer.content else "refused"), answer.error
        if answer.finished and self._whole(seen.asked, answer.content):
            return "whole", ""
        return "truncated", f"{len(answer.content)} characters, finish_reason {answer.finished}"

    def _whole(self, asked: str, content: str) -> bool:
        """Whether it is what one of the providers says, from its first token to its last."""
        return any(
            text.whole_tokens(content, self._seed, upstream.name, asked) == answer_length(self._seed, upstream, asked)
            for upstream in self._upstreams
        )


class Answer:
    """An answer as an SDK reads it."""

    __slots__ = ("_plain", "content", "error", "finished")

    def __init__(self) -> None:
        self.content = ""
        self.error: str | None = None
        self.finished = False
        self._plain: list[str] = []

    def line(self, line: str, events: bool) -> None:
        """One more line; `events`: of a stream."""
        if not events:
            self._plain.append(line)
        elif line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            self._event(_parsed(data))

    def end(self, stream: bool, status: int | None) -> None:
        """Nothing more comes."""
        if status is None or self.error is not None or (stream and status == 200):
            return
        body = _parsed("\n".join(self._plain))
        if status != 200:
            self.error = f"HTTP {status} {_code(body)}"
        elif body is None or not body.get("choices"):
            self.error = "200 without choices"
        else:
            self._choices(body["choices"], "message")

    def _event(self, event: dict[str, Any] | None) -> None:
        if event is None:
            self.error = "an event that is no JSON"
        elif "error" in event:
            self.error = f"error event {_code(event)}"
        else:
            self._choices(event.get("choices") or [], "delta")

    def _choices(self, choices: Iterable[dict[str, Any]], part: str) -> None:
        for choice in choices:
            self.content += choice.get(part, {}).get("content") or ""
            self.finished = self.finished or bool(choice.get("finish_reason"))


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _code(body: dict[str, Any] | None) -> str:
    error = (body or {}).get("error")
    return str(error.get("code")) if isinstance(error, dict) else "unreadable"
