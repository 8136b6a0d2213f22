"""Reads an answer that is not a stream: one JSON value."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import msgspec

from oxllm.core.halves import without_halves
from oxllm.core.native import mypyc_attr
from oxllm.core.protocols.base import Reader
from oxllm.core.protocols.values import BOM, NOT_JSON, decode_raw, read_json
from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.wire.body_faults import invalid_utf8
from oxllm.core.wire.nesting import Closing

HELD_MAX: Final = 256 * 1024
"""Bytes of a plain answer that are held until it is whole."""
TAIL_MAX: Final = 64 * 1024
"""Bytes of white space allowed after a plain answer."""

SPACE: Final = b" \t\r\n"


@mypyc_attr(allow_interpreted_subclasses=True)
class PlainReader(Reader):
    """Holds and checks an answer that is not a stream: one JSON value.

    Up to HELD_MAX it is held to its end and checked as a whole. If it is longer, or must be sent earlier (`release`),
    only its beginning is checked, and it is passed on as it comes, except for its last bracket and what follows: they
    wait for the end (`closing`), so that an answer that was cut never looks whole.
    """

    __slots__ = ("_closing", "_held", "_wall")

    START: ClassVar[re.Pattern[bytes]]
    """What a long answer must have in its first HELD_MAX bytes."""

    def __init__(self, wall: float = 0.0) -> None:
        super().__init__()
        self._wall = wall
        """Seconds since the epoch, to compare dates in errors with."""
        self._held: bytes | bytearray = b""
        """The whole body, `bytes` if it came in one piece; once something was passed on, only the last bracket and what
        follows it."""
        self._closing: Closing | None = None
        """Set once something was passed on."""

    def check(self, body: bytes) -> Outcome | None:
        """Why this JSON text is not an answer; None if it is one. Sets `usage` and the like. May raise NOT_JSON."""
        raise NotImplementedError

    @property
    def pending(self) -> int:
        """Bytes held."""
        return len(self._held)

    def feed(self, data: bytes) -> bytes:
        """Another part of the body."""
        if self.failure is not None:
            return b""
        if self._closing is not None:
            return self._pass(data)
        self._hold(data)
        if len(self._held) <= HELD_MAX:
            return b""
        self.failure = self._check_start()
        return self._begin() if self.failure is None else b""

    def release(self) -> bytes:
        """What is held, if it is the start of an answer."""
        if self._closing is not None or self.failure is not None or self._check_start() is not None:
            return b""
        return self._begin()

    def eof(self) -> Outcome | None:
        """The response has ended: None if the answer is whole, else why it cannot be used."""
        if self.failure is None:
            self.failure = self._check() if self._closing is None else self._check_end()
        if self.failure is None:
            self.content = 1
            self.complete = self.finished = True
        return self.failure

    def refusal(self) -> bytes | None:
        """An error that came with a 2xx, as received."""
        return self.closing()

    def closing(self) -> bytes:
        """What was held until the end."""
        held = self._whole()
        self._held = b""
        return held

    def _hold(self, data: bytes) -> None:
        held = self._held
        if not held:
            self._held = data
            return
        if isinstance(held, bytes):
            held = self._held = bytearray(held)
        held += data

    def _whole(self) -> bytes:
        """All that is held."""
        held = self._held
        return held if isinstance(held, bytes) else bytes(held)

    def _begin(self) -> bytes:
        self.content = 1
        self._closing = Closing()
        return self._pass(self.closing())

    def _pass(self, data: bytes) -> bytes:
        """Pass on a part of a long answer, up to a bracket that may be its last."""
        assert self._closing is not None
        if self._held:
            self._hold(data)
            self._look_behind(data)
            return b""
        at = self._closing.find(data)
        if at is None:
            return data
        self._hold(data[at:])
        self._look_behind(data[at + 1 :])
        return data[:at]

    def _look_behind(self, data: bytes) -> None:
        if data.strip(SPACE) or len(self._held) > TAIL_MAX:
            self.failure = Outcome(Kind.BAD_ANSWER, "more than one JSON value")

    def _check_end(self) -> Outcome | None:
        return None if self._held else Outcome(Kind.BAD_ANSWER, "cut JSON")

    def _check_start(self) -> Outcome | None:
        """None if what is held is the start of an answer: valid JSON so far, with a match of START."""
        held = self._held
        if self.START.search(held) is None or invalid_utf8(held, final=False) is not None:
            return self._refuse()
        begun = without_halves(bytes(held).removeprefix(BOM))
        try:
            decode_raw(begun)
        except msgspec.DecodeError as error:
            return None if _wrong_at_its_end(str(error), len(begun)) else self._refuse()
        except RecursionError:
            return self._refuse()
        return self._check()

    def _check(self) -> Outcome | None:
        try:
            return read_json(self.check, self._whole())
        except NOT_JSON:
            return self._refuse()

    def _refuse(self) -> Outcome:
        """Says by its first bytes what the body is instead of an answer."""
        held = bytes(self._held[:64]).removeprefix(BOM).lstrip(SPACE)
        for start, reason in _INSTEAD:
            if held.startswith(start):
                return Outcome(Kind.BAD_ANSWER, reason)
        return Outcome(Kind.BAD_ANSWER, "invalid or cut JSON" if held else "an empty body")


def _wrong_at_its_end(error: str, size: int) -> bool:
    """Whether msgspec's error means only that the JSON, of `size` bytes, is cut off. Inside a number ("-", "1.") it
    does not say "truncated", but reports the byte after the last as invalid."""
    return "truncated" in error or error.endswith(f"(byte {size})")


_INSTEAD: Final[tuple[tuple[bytes, str], ...]] = (
    (b"<", "HTML instead of an answer"),
    (b"data:", "a stream instead of an answer"),
    (b"event:", "a stream instead of an answer"),
    (b":", "a stream instead of an answer"),
)
