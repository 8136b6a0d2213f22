"""One request at one provider: the healthy answer, and the means to spoil it.

A fault gets an `Exchange`. It can play the healthy answer up to a place, say an error in the provider's dialect, or
change the answer's parts before they are played. What an answer looks like is up to an `Operation`, one per endpoint.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import ClassVar, Protocol

import msgspec

from oxllm.sim.dialects.base import Error, encode
from oxllm.sim.dialects.openai import OpenAI
from oxllm.sim.provider import said, schema, text
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.ledger import UnderWay
from oxllm.sim.provider.limits import Meter
from oxllm.sim.provider.memory import Memory
from oxllm.sim.provider.reply import Part, Reply, Tape
from oxllm.sim.provider.request import Ask, BadAsk, SimRequest
from oxllm.sim.provider.said import Said
from oxllm.sim.provider.steps import Step
from oxllm.sim.provider.upstream import Upstream

HEAD_SHARE = 0.5
"""A stream's head and its first event (the role) come after this share of the time to first token."""


NOTHING = SimRequest("", "", (), b"", 0)


class Host(Protocol):
    """What an exchange needs of its provider."""

    seed: int
    upstream: Upstream
    meter: Meter
    memory: Memory
    answering: UnderWay

    def dialect(self, protocol: str) -> OpenAI:
        """Its dialect in a protocol."""

    def wall(self, now: float) -> float:
        """The date at `now`, in seconds since 1970."""

    def dark(self, now: float) -> bool:
        """Whether its port answers nobody at `now`."""

    def next_change(self, now: float) -> float:
        """When `dark` may next change."""


class Operation:
    """One endpoint: how its requests are read, and what a healthy answer is. Stateless."""

    protocol: ClassVar[str]
    reads_at_once = False
    """A stream no longer needs the request once its answer begins."""
    done = b""
    """What comes last in a stream, after the event that completes the answer."""

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        """What a request asks for; `names` are the parameters of its path. Raises BadAsk."""
        raise NotImplementedError

    def check(self, x: Exchange) -> None:
        """Raise BadAsk if this provider has to refuse the request."""

    def reply(self, x: Exchange) -> Reply:
        """The healthy answer."""
        raise NotImplementedError

    def failure(self, x: Exchange, error: Error, number: int) -> bytes:
        """An error inside a stream, as event number `number`, with whatever follows it."""
        return x.dialect.stream_error(error) + x.dialect.after_error()

    def nothing(self, x: Exchange) -> bytes:
        """A stream event without content."""
        return b": \n\n"

    def usage(self, x: Exchange) -> bytes:
        """The event with the usage, if there is a separate one."""
        return b""


class Exchange:
    """What is known about a request when its answer begins. One class, since faults look at all of it.

    `now` is when it was read.
    """

    __slots__ = (
        "_length", "ask", "chance", "dialect", "hint", "levels", "now", "operation", "provider", "request", "said",
        "seed", "slowdown", "upstream", "wall",
    )  # fmt: skip

    def __init__(
        self, provider: Host, operation: Operation, request: SimRequest, ask: Ask, chance: Chance, now: float
    ) -> None:
        self.provider = provider
        self.operation = operation
        self.seed = provider.seed
        self.upstream = provider.upstream
        self.dialect = provider.dialect(operation.protocol)
        self.request = request
        self.ask = ask
        self.chance = chance
        self.levels = provider.meter.levels(now)
        self.now = now
        self.wall = provider.wall(now)
        self.slowdown = self.upstream.pace.slowdown(provider.answering.count + 1)
        self.hint: float | None = None
        """Seconds to wait that a refusal asked for; for the ledger."""
        self._length: int | None = None
        self.said: Said | None = None
        """The answer, if it is not random."""

    def compose(self, decided: Said | None) -> None:
        """Set the answer: the decided one, else a value for the request's schema, if it has one. Raises BadAsk."""
        self.said = decided
        if decided is None and self.ask.schema is not None:
            self.said = _by_schema(self)

    def let_go(self) -> None:
        """Drop the request if the answer no longer needs it, so that thousands of streams do not keep theirs."""
        if self.operation.reads_at_once:
            self.request, self.ask = NOTHING, msgspec.structs.replace(self.ask, data={})

    @property
    def limit_headers(self) -> list[tuple[str, str]]:
        return self.dialect.limit_headers(self.levels, self.wall)

    @property
    def id(self) -> str:
        """The response's id, for its headers."""
        return self.identity("req_", 24)

    def identity(self, prefix: str, length: int, of: str = "") -> str:
        """An id that depends on the seed and the request. `of`: tells apart several with the same prefix."""
        return prefix + self.chance.hexadecimal(f"{prefix}{of}", length)

    def tape(self) -> Tape:
        """The healthy answer, ready to be played."""
        return Tape(self.reply())

    def reply(self) -> Reply:
        """The healthy answer."""
        return self.operation.reply(self)

    def say(self, error: Error) -> Iterator[Step]:
        """A refusal in this provider's dialect, with this request's numbers."""
        error = self._detailed(error)
        self.hint = error.hint
        headers = self.dialect.refusal_headers(error)
        body, status = self.dialect.error(error, self.wall, self.id), self.dialect.status(error)
        yield from self.raw(status, "application/json", body, [*self.limit_headers, *headers])

    def _detailed(self, error: Error) -> Error:
        """The error with the model's name and, if it is about a limit, the amounts requested, allowed and used."""
        error = msgspec.structs.replace(error, model=self.ask.model or error.model)
        if error.word not in ("rate", "toobig"):
            return error
        requested = 1 if error.dimension == "requests" else max(1, self.ask.prompt_tokens + self.tokens)
        level = self.levels.get(error.dimension)
        if level is not None:
            return msgspec.structs.replace(
                error, requested=requested, limit=level.limit, used=level.limit - level.remaining
            )
        limit = max(1, requested * 4 // 5) if error.word == "toobig" else requested * 60
        return msgspec.structs.replace(error, requested=requested, limit=limit, used=limit)

    def raw(
        self, status: int, content_type: str, body: bytes, headers: list[tuple[str, str]] | None = None
    ) -> Iterator[Step]:
        """Any body, sent at once."""
        head = [("content-type", content_type), *self.dialect.headers(self.id), *(headers or [])]
        return Tape(Reply(status, head, iter([Part(self.now, body, "body")]), stream=False, at=self.now)).rest()

    def plain(self, body: bytes, at: float, tokens: int = 0, content_type: str = "application/json") -> Reply:
        """An answer with one body."""
        return Reply(200, self._headers(content_type), iter([Part(at, body, "body", tokens)]), stream=False, at=at)

    def streamed(self, parts: Iterator[Part], content_type: str = "text/event-stream; charset=utf-8") -> Reply:
        """An answer as a stream of events."""
        headers = [*self._headers(content_type), ("cache-control", "no-cache")]
        first = next(parts)
        return Reply(200, headers, _chain(first, parts), stream=True, at=first.at)

    @property
    def length(self) -> int:
        """Tokens in each choice."""
        if self._length is None:
            said = self.said
            wanted = answer_length(self.seed, self.upstream, self.ask.inputs[0]) if said is None else len(said.pieces)
            self._length = min(wanted, self.ask.max_tokens or wanted)
        return self._length

    @property
    def tool(self) -> str | None:
        """The function that the answer calls."""
        return self.ask.tool if self.said is None else self.said.tool

    @property
    def tokens(self) -> int:
        """Tokens of the whole answer, for limits and usage."""
        return self.length * self.ask.n if self.ask.generates else 0

    @property
    def cached(self) -> int:
        """Cached tokens of the prompt. As at OpenAI: from 1,024 tokens on, all whole blocks of 128."""
        return self.ask.prompt_tokens // 128 * 128 if self.ask.prompt_tokens >= 1024 else 0

    @property
    def cut_short(self) -> bool:
        """Whether the client's limit ends the answer."""
        return self.ask.max_tokens == self.length

    def words(self, choice: int = 0, of: int = 0) -> Iterator[str]:
        """The answer to one input, token by token; endless if it is random."""
        if self.said is not None:
            return iter(self.said.pieces)
        return text.tokens(self.seed, self.upstream.name, self.ask.inputs[of], choice)

    def json_words(self) -> Iterator[bytes]:
        """The words of the first choice, escaped for a JSON string."""
        if self.said is not None:
            return (encode(piece)[1:-1] for piece in self.said.pieces)
        return text.json_tokens(self.seed, self.upstream.name, self.ask.inputs[0])

    def text(self, choice: int = 0, of: int = 0) -> str:
        """The whole answer to one input."""
        if self.said is not None:
            return "".join(self.said.pieces[: self.length])
        return text.text(self.seed, self.upstream.name, self.ask.inputs[of], self.length, choice)

    def argument_pieces(self, choice: int = 0) -> Iterator[str]:
        """The arguments of the tool call, in the pieces that are streamed."""
        if self.said is not None:
            return itertools.islice(self.said.pieces, self.length)
        return _arguments_of(self.words(choice), self.length)

    def arguments(self, choice: int = 0) -> str:
        """The whole arguments of the tool call, as JSON."""
        return "".join(self.argument_pieces(choice))

    @property
    def answer_chance(self) -> Chance:
        """Chance that depends only on what is asked, for answers that are the same at every request."""
        return Chance(self.seed, self.upstream.name, self.ask.inputs[0])

    def deadlines(self) -> Iterator[float]:
        """When each token is due."""
        return self.upstream.pace.deadlines(self.chance.series("pace"), self.now, self.slowdown)

    def finished(self, tokens: int) -> float:
        """When the last of `tokens` tokens is due."""
        pace = self.upstream.pace
        if pace.is_fixed:
            return self.now + (pace.ttft.mean + pace.itl.mean * (tokens - 1)) * self.slowdown
        deadlines = self.deadlines()
        for _ in range(tokens - 1):
            next(deadlines)
        return next(deadlines)

    def opening(self, due: float) -> float:
        """When a stream's head is due if its first token is due at `due`."""
        return self.now + HEAD_SHARE * (due - self.now)

    def _headers(self, content_type: str) -> list[tuple[str, str]]:
        head = [("content-type", content_type), *self.dialect.headers(self.id)]
        return [*head, *self.limit_headers]


def _by_schema(x: Exchange) -> Said:
    """A value that the client's schema allows. Raises BadAsk."""
    try:
        return said.data(schema.value(x.ask.schema, x.answer_chance), x.ask.tool)
    except schema.BadSchema as bad:
        raise BadAsk(f"Invalid schema: {bad}") from None


def _arguments_of(words: Iterator[str], length: int) -> Iterator[str]:
    """A text as the only argument of a tool without a schema: `length` pieces, and the closing brace."""
    yield '{"text":"' + next(words).strip()
    for _ in range(length - 1):
        yield next(words)
    yield '"}'


def answer_length(seed: int, upstream: Upstream, fingerprint: str) -> int:
    """Tokens of an answer without a limit. It depends on what was asked, not on when."""
    return upstream.pace.length(Chance(seed, upstream.name, fingerprint).draw("length"))


def _chain(first: Part, rest: Iterator[Part]) -> Iterator[Part]:
    yield first
    yield from rest
