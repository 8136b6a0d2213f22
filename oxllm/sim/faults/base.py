"""What all faults share: where they strike, what argument they take, and which layer they act on."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import ClassVar

from oxllm.sim.dialects.base import Error
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.place import Place
from oxllm.sim.provider.reply import Part, Tape
from oxllm.sim.provider.steps import Step


class Layer(Enum):
    """What a fault strikes. The values are used in messages."""

    NAME = "name"
    LISTENER = "port"
    CONNECTION = "connection"
    HANDSHAKE = "handshake"
    RESPONSE = "response"


class Argument(Enum):
    """What may stand after the `~`."""

    NONE = "no argument"
    SECONDS = "a time such as 45s"
    PAUSE = "a time such as 45s, or gate:NAME"
    COUNT = "a number"


class Fault:
    """One fault: its kind, place and argument. Subclasses implement `play`."""

    kind: ClassVar[str]
    layer: ClassVar[Layer] = Layer.RESPONSE
    places: ClassVar[tuple[str, ...]] = ()
    """Those of `place.WORDS` that are allowed after the `@`."""
    default: ClassVar[Place | None] = None
    argument: ClassVar[Argument] = Argument.NONE
    counts: ClassVar[tuple[int, int]] = (1, 10_000)
    """Bounds of an argument that is a COUNT."""
    streams_only: ClassVar[bool] = False
    """Whether only streams can be struck; any other answer stays healthy."""
    protocols: ClassVar[tuple[str, ...]] = ()
    """The protocols whose answers can be struck, if not all; any other answer stays healthy."""
    needs_answer: bool = True
    """Whether it needs a healthy answer to spoil."""
    harm: Harm = Harm.LOSS
    """What becomes of the answer."""

    __slots__ = ("arg", "place", "text")

    def __init__(self, place: Place | None, arg: float | str | None, text: str) -> None:
        self.place = place or self.default
        self.arg = arg
        self.text = text
        """As the grammar writes it, without the dose."""

    def strikes_at(self) -> Layer:
        """The layer of this fault: for some kinds it depends on the place."""
        return self.layer

    def applies(self, x: Exchange) -> bool:
        """Whether it can strike the answer to this request."""
        return (x.ask.stream or not self.streams_only) and (
            not self.protocols or x.operation.protocol in self.protocols
        )

    def play(self, x: Exchange) -> Iterator[Step]:
        """What the provider does instead of its healthy answer."""
        raise NotImplementedError

    def seconds(self, default: float) -> float:
        """The argument as a number: seconds, or a COUNT."""
        return self.arg if isinstance(self.arg, float) else default

    @property
    def tokens(self) -> int:
        """N of the place `token:N`; only for kinds whose default place is one."""
        assert self.place is not None
        return self.place.n

    def __repr__(self) -> str:
        return f"<fault {self.text}>"


class ConnectionFault(Fault):
    """Strikes the connection, whatever the request: with `@connect` as soon as it is accepted, else instead of the
    response's first byte. Subclasses implement `strike`."""

    places: ClassVar[tuple[str, ...]] = ("connect",)
    needs_answer = False
    __slots__ = ()

    def strikes_at(self) -> Layer:
        return Layer.RESPONSE if self.place is None else Layer.CONNECTION

    def strike(self, now: float) -> Iterator[Step]:
        """What happens to the connection. If the steps do not end it, it is served as usual."""
        raise NotImplementedError

    def play(self, x: Exchange) -> Iterator[Step]:
        return self.strike(x.now)


class Refusal(Fault):
    """An error in the dialect's own words instead of the answer. Subclasses set `error`."""

    error: ClassVar[Error]
    needs_answer = False
    __slots__ = ()

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.say(self.error)


class FixedBody(Fault):
    """A 200 whose body is not an answer. Subclasses set `body` and `content_type`."""

    content_type: ClassVar[str]
    body: ClassVar[bytes]
    needs_answer = False
    __slots__ = ()

    def play(self, x: Exchange) -> Iterator[Step]:
        return x.raw(200, self.content_type, self.body)


class SpoiledParts(Fault):
    """The healthy answer in correct framing, but with its parts changed. Subclasses implement `spoil`."""

    __slots__ = ()

    def spoil(self, x: Exchange, parts: Iterator[Part]) -> Iterator[Part]:
        """What is sent instead of `parts`."""
        raise NotImplementedError

    def play(self, x: Exchange) -> Iterator[Step]:
        reply = x.reply()
        reply.parts = self.spoil(x, reply.parts)
        return Tape(reply).rest()
