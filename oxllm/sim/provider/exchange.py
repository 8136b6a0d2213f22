"""One request at one provider: what a healthy answer would be, and the means to spoil it.

A fault gets an `Exchange`. It can play the healthy answer up to a place, say an error in the provider's dialect, or
change the answer's parts before they are played.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from oxllm.sim.dialects.base import CREATED, Error, Json, encode
from oxllm.sim.dialects.openai import OpenAI
from oxllm.sim.provider import text
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.limits import Meter
from oxllm.sim.provider.reply import Part, Reply, Tape
from oxllm.sim.provider.request import Ask, SimRequest
from oxllm.sim.provider.steps import Step
from oxllm.sim.provider.upstream import Upstream

DONE = b"data: [DONE]\n\n"

HEAD_SHARE = 0.5
"""A stream's head and its first event, the role, come after this share of the time to the first token."""


class Host(Protocol):
    """The provider that an exchange happens at."""

    seed: int
    upstream: Upstream
    dialect: OpenAI
    meter: Meter

    def wall(self, now: float) -> float:
        """The date at `now`, in seconds since 1970."""

    def dark(self, now: float) -> bool:
        """Whether its port answers nobody."""

    def next_change(self, now: float) -> float:
        """When `dark` may next be otherwise."""


class Exchange:
    """What is known of a request when its answer begins. One class, since faults look at all of it.

    `now` is when it had arrived.
    """

    __slots__ = ("ask", "chance", "dialect", "hint", "levels", "now", "provider", "request", "seed", "upstream", "wall")

    def __init__(self, provider: Host, request: SimRequest, ask: Ask, chance: Chance, now: float) -> None:
        self.provider = provider
        self.seed = provider.seed
        self.upstream = provider.upstream
        self.dialect = provider.dialect
        self.request = request
        self.ask = ask
        self.chance = chance
        self.levels = provider.meter.levels(now)
        self.now = now
        self.wall = provider.wall(now)
        self.hint: float | None = None
        """The wait that a refusal asked for, for the ledger."""

    @property
    def limit_headers(self) -> list[tuple[str, str]]:
        return self.dialect.limit_headers(self.levels, self.wall)

    @property
    def id(self) -> str:
        return "req_" + self.chance.hexadecimal("request id", 24)

    def tape(self) -> Tape:
        """The healthy answer, ready to be played."""
        return Tape(self.reply())

    def reply(self) -> Reply:
        """The healthy answer."""
        if not self.ask.inputs:
            return self.plain(self._models(), self.now)
        if self.ask.embeddings:
            return self.plain(self._embeddings(), self._finished(1))
        if self.ask.stream:
            return self.streamed(self._stream())
        return self.plain(self._completion(), self._finished(self.length), self.length)

    def say(self, error: Error) -> Iterator[Step]:
        """A refusal in this provider's dialect."""
        self.hint = error.hint
        hint = self.dialect.hint_headers(error.hint)
        body, status = self.dialect.error(error, self.wall), self.dialect.status(error)
        yield from self.raw(status, "application/json", body, [*self.limit_headers, *hint])

    def raw(
        self, status: int, content_type: str, body: bytes, headers: list[tuple[str, str]] | None = None
    ) -> Iterator[Step]:
        """Any body, at once."""
        head = [("content-type", content_type), *self.dialect.headers(self.id), *(headers or [])]
        return Tape(Reply(status, head, iter([Part(self.now, body, "body")]), False, self.now)).rest()

    def plain(self, body: bytes, at: float, tokens: int = 0) -> Reply:
        """An answer in one piece."""
        return Reply(200, self._headers("application/json"), iter([Part(at, body, "body", tokens)]), False, at)

    def streamed(self, parts: Iterator[Part]) -> Reply:
        """An answer in events."""
        headers = [*self._headers("text/event-stream; charset=utf-8"), ("cache-control", "no-cache")]
        first = next(parts)
        return Reply(200, headers, _chain(first, parts), True, first.at)

    @property
    def length(self) -> int:
        """Tokens of each choice."""
        wanted = answer_length(self.seed, self.upstream, self.ask.inputs[0])
        return min(wanted, self.ask.max_tokens or wanted)

    @property
    def tokens(self) -> int:
        """Tokens of the whole answer, for limits and usage."""
        return self.length * self.ask.n if self.ask.inputs and not self.ask.embeddings else 0

    @property
    def base(self) -> Json:
        """What all events and the whole answer of a chat have in common."""
        kind = "chat.completion.chunk" if self.ask.stream else "chat.completion"
        identity = "chatcmpl-" + self.chance.hexadecimal("completion id", 24)
        return {"id": identity, "object": kind, "created": CREATED, "model": self.ask.model}

    def words(self, choice: int) -> Iterator[str]:
        return text.tokens(self.seed, self.upstream.name, self.ask.inputs[0], choice)

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        head = [("content-type", content_type), *self.dialect.headers(self.id)]
        return [*head, *self.limit_headers]

    def _deadlines(self) -> Iterator[float]:
        return self.upstream.pace.deadlines(self.chance.series("pace"), self.now)

    def _finished(self, tokens: int) -> float:
        deadlines = self._deadlines()
        return [next(deadlines) for _ in range(tokens)][-1]

    def _stream(self) -> Iterator[Part]:
        """The events of a stream. Choices take turns, one token of each at a time."""
        base, dialect, choices = self.base, self.dialect, range(self.ask.n)
        deadlines = self._deadlines()
        due = next(deadlines)
        opening = self.now + HEAD_SHARE * (due - self.now)
        if (ping := dialect.keepalive()) is not None:
            yield Part(opening, ping, "comment")
        for data in dialect.prelude(base):
            yield Part(opening, data, "role")
        for index in choices:
            yield Part(opening, dialect.chunk(base, index, self._opening_delta()), "role")
        sources = [self._deltas(index) for index in choices]
        for _ in range(self.length):
            for index, source in zip(choices, sources, strict=True):
                yield Part(due, dialect.chunk(base, index, next(source)), "token", 1 if index == 0 else 0)
            due = next(deadlines)
        yield from self._ending(base, due, sources)

    def _ending(self, base: Json, due: float, sources: list[Iterator[Json]]) -> Iterator[Part]:
        dialect = self.dialect
        for index, source in enumerate(sources):
            for delta in source if self.ask.tool else ():
                yield Part(due, dialect.chunk(base, index, delta), "token")
            yield Part(due, dialect.chunk(base, index, {}, self.finish_reason), "finish")
        if self.ask.wants_usage:
            yield Part(due, dialect.usage(base, self.usage), "usage")
        if dialect.done:
            yield Part(due, DONE, "done")

    def _opening_delta(self) -> Json:
        if self.ask.tool is None:
            return {"role": "assistant", "content": "", "refusal": None}
        return {"role": "assistant", "content": None}

    def _deltas(self, index: int) -> Iterator[Json]:
        """The contents of one choice: text without end, or `length` pieces of a tool call and its closing brace."""
        if self.ask.tool is None:
            for word in self.words(index):
                yield {"content": word}
        words = self.words(index)
        function = {"name": self.ask.tool, "arguments": '{"text":"' + next(words).strip()}
        yield {"tool_calls": [{"index": 0, "id": self._call_id(index), "type": "function", "function": function}]}
        for _ in range(self.length - 1):
            yield {"tool_calls": [{"index": 0, "function": {"arguments": next(words)}}]}
        yield {"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]}

    def _call_id(self, index: int) -> str:
        return "call_" + self.chance.hexadecimal(f"call {index}", 24)

    @property
    def finish_reason(self) -> str:
        if self.ask.tool is not None:
            return "tool_calls"
        return "length" if self.ask.max_tokens == self.length else "stop"

    @property
    def usage(self) -> Json:
        total = self.ask.prompt_tokens + self.tokens
        usage = {"prompt_tokens": self.ask.prompt_tokens, "total_tokens": total}
        return usage if self.ask.embeddings else {**usage, "completion_tokens": self.tokens}

    def _completion(self) -> bytes:
        choices = [
            {"index": index, "message": self._message(index), "logprobs": None, "finish_reason": self.finish_reason}
            for index in range(self.ask.n)
        ]
        return encode({**self.base, "choices": choices, "usage": self.usage})

    def _message(self, index: int) -> Json:
        content = text.text(self.seed, self.upstream.name, self.ask.inputs[0], self.length, index)
        if self.ask.tool is None:
            return {"role": "assistant", "content": content, "refusal": None}
        function = {"name": self.ask.tool, "arguments": text.arguments(content)}
        call = {"id": self._call_id(index), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def _models(self) -> bytes:
        models, owner = self.upstream.models, self.upstream.name
        listed = [{"id": model, "object": "model", "created": CREATED, "owned_by": owner} for model in models]
        return encode({"object": "list", "data": listed})

    def _embeddings(self) -> bytes:
        data = [
            {"object": "embedding", "index": index, "embedding": self._vector(fingerprint)}
            for index, fingerprint in enumerate(self.ask.inputs)
        ]
        return encode({"object": "list", "data": data, "model": self.ask.model, "usage": self.usage})

    def _vector(self, fingerprint: str) -> list[float] | str:
        vector = text.vector(self.seed, self.upstream.name, fingerprint, self.ask.dimensions)
        return text.packed(vector) if self.ask.base64 else vector


def answer_length(seed: int, upstream: Upstream, fingerprint: str) -> int:
    """Tokens of an answer that nothing limits. It hangs on what was asked, not on when."""
    return upstream.pace.length(Chance(seed, upstream.name, fingerprint).draw("length"))


def _chain(first: Part, rest: Iterator[Part]) -> Iterator[Part]:
    yield first
    yield from rest
