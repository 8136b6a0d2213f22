"""One request on its way in: the memory budget for its head and body, its 100 Continue, and its pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from oxllm.core.budget.bodies import BodyHolder
from oxllm.core.request.headers import FIELD_OVERHEAD
from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.fields import Fields
from oxllm.gateway.client.pace import Upload
from oxllm.gateway.client.rendering import CONTINUE
from oxllm.gateway.client.request import Request, Writer
from oxllm.gateway.client.request_reader import COMPLETE, RequestReader
from oxllm.gateway.client.shared import READ_BYTES, Shared, overloaded
from oxllm.gateway.wheel import Timer

LARGE_HEAD_BYTES: Final = 4 * 1024
"""A head that takes more is cut down at once to the fields still needed; those of SDKs take 3 KiB."""


def slim(reader: RequestReader, request: Request, needed: Callable[[bytes], bool]) -> int:
    """Cut a large head down to the needed fields, since it may be kept for long. Returns the bytes it then takes."""
    reader.headers = [field for field in request.fields.all if needed(field[0])]
    request.fields = Fields(reader.headers)
    weight = sum([len(name) + len(value) + FIELD_OVERHEAD for name, value in reader.headers])
    return len(reader.url) + FIELD_OVERHEAD + weight


class Reading(Protocol):
    """The reader of the request, as its intake sees it."""

    @property
    def output(self) -> Writer:
        """The way to the client."""

    @property
    def timer(self) -> Timer:
        """Goes off when the client has taken too long."""

    def wait(self) -> None:
        """There is no room: stop reading until `admitted`."""

    def admitted(self) -> None:
        """There is room now for the part (or the whole) that had to wait."""

    def refuse(self, error: ApiError) -> None:
        """Answer `error` instead of serving the request."""

    def decline(self, error: ApiError) -> None:
        """Answer `error`, and read no further."""


class Intake:
    """One request, from its complete head until none of it is kept. To the budget it is a `BodyHolder`."""

    __slots__ = ("_counted", "_head_bytes", "_reader", "_reading", "_request", "_shared", "_size_max", "_upload")

    def __init__(self, shared: Shared, reading: Reading, reader: RequestReader, request: Request) -> None:
        self._shared = shared
        self._reading = reading
        self._reader: RequestReader | None = reader
        """None once the request is whole."""
        self._request = request
        self._upload: Upload | None = None
        self._size_max = shared.limits.max_body_bytes
        """Bytes: what applied when it began, whatever a reload says meanwhile."""
        self._counted = False
        self._head_bytes = 0
        """Bytes that the budget counts for its head."""

    def begin(self) -> None:
        """The head is complete. Let the body come, or serve the request if the body came along."""
        request, shared = self._request, self._shared
        if request.in_flight:
            assert self._reader is not None
            size = self._reader.head_weight
            if size > LARGE_HEAD_BYTES:
                size = slim(self._reader, request, shared.service.needs)
            if not shared.bodies.admit_head(self, size, self._reader.received):
                self._reading.refuse(overloaded("no memory for the request's head at present"))
                return
            self._head_bytes = size
        self._admit()

    def grew(self) -> None:
        """More of the body has arrived."""
        reader, size_max = self._reader, self._size_max
        assert reader is not None
        if reader.received > size_max:
            self._reading.refuse(too_large(size_max))
        elif reader.stage is COMPLETE:
            self._complete(reader)
        else:
            self._admit()

    def go_ahead(self) -> None:
        """There is room for the next part of the body, or for all of it: go on reading, or serve."""
        reader = self._reader
        assert reader is not None
        if reader.stage is COMPLETE:
            self._complete(reader)
        elif reader.expectation is not None:
            reader.expectation = None
            self._reading.output.send(CONTINUE)

    def release(self) -> None:
        """None of the request is kept, or wanted, any longer: give its memory back to the budget."""
        head_bytes = self._head_bytes
        if self._counted or head_bytes:
            self._counted, self._head_bytes = False, 0
            granted = self._shared.bodies.release(self, head_bytes)
            if granted:
                self._wake(granted)
            elif self._shared.narrow:
                self._shared.fit_reads()

    def _admit(self) -> None:
        """Let in the next part of the body, or serve a complete request, if there is room. If not, the budget calls
        `granted` once there is."""
        reader, self._counted = self._reader, True
        assert reader is not None
        size, length = reader.received, reader.length
        complete = reader.stage is COMPLETE
        if complete:
            length = size
        else:
            size = min(size + READ_BYTES, self._size_max if length is None else length)
        if self._shared.bodies.admit(self, size, length):
            if complete:
                self._complete(reader)
            else:
                self.go_ahead()
            return
        self._break_deadlocks()
        if not self._request.head_sent:  # else it was itself refused to break a deadlock
            self._reading.wait()
        self._shared.fit_reads()

    def _complete(self, reader: RequestReader) -> None:
        """The body is complete, and its memory now belongs to the service, which releases it once it is sent."""
        self._reader = self._upload = None
        if reader.length is None:
            self._wake(self._shared.bodies.settle(self, reader.received))
        self._shared.service.serve(self._request)

    # Its pace.

    def note_progress(self) -> None:
        """Everything that has arrived so far was read: time the client from now on."""
        now = self._shared.now()
        if self._upload is not None:
            self._upload.heard = now
            return
        assert self._reader is not None
        self._upload = Upload(now, self._reader.received)
        self._reading.timer.set(self._upload.look_at(now))

    def check_pace(self) -> None:
        """The timer has fired: give up on the body if it comes too slowly, else check again later."""
        upload, reader, now = self._upload, self._reader, self._shared.now()
        assert upload is not None
        assert reader is not None
        why = upload.late(now, reader.received, self._shared.bodies.waiting > 0)
        if why is not None:
            self._reading.decline(api_error(408, why))
            return
        if not upload.quick:
            self._wake(self._shared.bodies.lapse(self))
        self._reading.timer.set(upload.look_at(now))

    # Waiting for room.

    def granted(self) -> None:
        """The budget now has the room that `admit` refused."""
        self._upload = None
        self._reading.admitted()

    def give_way(self) -> None:
        """Refuse the request: it would wait for ever, or has waited long enough."""
        self._reading.refuse(overloaded("no memory for the body at present"))

    def _break_deadlocks(self) -> None:
        """Refuse bodies that wait for each other, youngest first, until one can go on."""
        while (victim := self._shared.bodies.deadlocked()) is not None:
            assert isinstance(victim, Intake)
            victim.give_way()

    def _wake(self, holders: Sequence[BodyHolder]) -> None:
        for holder in holders:
            self._shared.loop.call_soon(holder.granted)
        self._shared.fit_reads()


def objection(expectation: bytes) -> ApiError | None:
    """417 for an expectation (RFC 9110 section 10.1.1) that cannot be met."""
    if expectation == b"100-continue":
        return None
    return api_error(417, "the only expectation that can be met is 100-continue")


def too_large(size_max: int) -> ApiError:
    """413 for a body of more than `size_max` bytes."""
    return api_error(413, f"the body is over {size_max} bytes, the most that max_body_bytes allows")
