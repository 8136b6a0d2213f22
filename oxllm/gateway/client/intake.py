"""One request on its way in: the room that it takes, head and all, the word that its body may come, and its pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from oxllm.core.budget.bodies import BodyHolder
from oxllm.gateway.client.pace import Upload
from oxllm.gateway.client.request import Request
from oxllm.gateway.client.request_reader import COMPLETE, HEADER_OVERHEAD, RequestReader
from oxllm.gateway.client.shared import READ_BYTES, Shared

LARGE_HEAD_BYTES = 4 * 1024
"""What of a head that takes more is not needed is let go at once; those of SDKs take 3 KiB."""


def slim(reader: RequestReader, request: Request, needed: Callable[[bytes], bool]) -> int:
    """Bytes of a whole head that stay: of a large one only what is needed, since it may be kept for long."""
    if reader.head_weight <= LARGE_HEAD_BYTES:
        return reader.head_weight
    request.headers[:] = [field for field in request.headers if needed(field[0])]
    request.index = None
    fields = sum([len(name) + len(value) + HEADER_OVERHEAD for name, value in request.headers])
    return len(reader.url) + HEADER_OVERHEAD + fields


class Reading(Protocol):
    """The connection that a body comes on."""

    def admitted(self) -> None:
        """There is room now for the part, or the whole, that had to wait."""

    def no_room(self) -> None:
        """There will be none."""


class Intake:
    """One request, from its whole head on until nothing of it is kept. The budget knows it as a `BodyHolder`."""

    __slots__ = ("_counted", "_head", "_reading", "_shared", "_upload", "reader")

    def __init__(self, shared: Shared, reading: Reading, reader: RequestReader) -> None:
        self._shared = shared
        self._reading = reading
        self.reader: RequestReader | None = reader
        """None once the request is whole."""
        self._upload: Upload | None = None
        self._counted = False
        self._head = 0
        """Bytes that its head counts for."""

    def take_head(self, size: int) -> bool:
        """Count the head, of which `size` bytes are kept. False if there is no room for it: it cannot wait."""
        if not self._shared.bodies.take_head(size):
            return False
        self._head = size
        return True

    def admit(self) -> bool:
        """May the next part of the body come, or the request be served if it is whole? If not, the connection hears
        of it later."""
        reader, self._counted = self.reader, True
        assert reader is not None
        size, length = reader.received, reader.length
        if reader.stage is COMPLETE:
            length = size
        else:
            size = min(size + READ_BYTES, self._shared.limits.max_body_bytes if length is None else length)
        if self._shared.bodies.take(self, size, length):
            return True
        self._break_deadlocks()
        return False

    def whole(self) -> None:
        """The body is there. It is not ours to keep: whoever serves it lets go of it once it is sent."""
        reader, self.reader, self._upload = self.reader, None, None
        assert reader is not None
        if reader.length is None:
            self._wake(self._shared.bodies.settle(self, reader.received))

    def release(self) -> None:
        """Nothing of it is held any more, or wanted."""
        if self._head:
            head, self._head = self._head, 0
            self._wake(self._shared.bodies.release_head(head))
        if self._counted:
            self._counted = False
            self._wake(self._shared.bodies.release(self))

    def moved(self, now: float) -> float | None:
        """More of it has come. When to look at its pace, if that is not known yet."""
        if self._upload is not None:
            self._upload.heard = now
            return None
        assert self.reader is not None
        self._upload = Upload(now, self.reader.received)
        return self._upload.look_at(now)

    def late(self, now: float) -> str | None:
        """Why it has to go, if it comes too slowly."""
        assert self._upload is not None
        assert self.reader is not None
        why = self._upload.late(now, self.reader.received, self._shared.bodies.waiting > 0)
        if why is None and not self._upload.quick:
            self._wake(self._shared.bodies.lapse(self))
        return why

    def look_at(self, now: float) -> float:
        """When to ask `late` next."""
        assert self._upload is not None
        return self._upload.look_at(now)

    # The budget's side.

    def room(self) -> None:
        """What was refused is granted now."""
        self._upload = None
        self._reading.admitted()

    def no_room(self) -> None:
        """It would wait for ever."""
        self._reading.no_room()

    def _break_deadlocks(self) -> None:
        """Let bodies go that wait for each other, the youngest first."""
        while (victim := self._shared.bodies.deadlocked()) is not None:
            assert isinstance(victim, Intake)
            victim.no_room()

    def _wake(self, holders: Sequence[BodyHolder]) -> None:
        for holder in holders:
            self._shared.loop.call_soon(holder.room)
