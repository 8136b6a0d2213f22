"""Server-sent events that have names and may be large: those of the Responses and the Messages API.

Both put an `event:` line before each event's data, and clients dispatch on it, so names are kept here. And an
event may be as long as a whole answer. A reader that can tell from an event's first bytes that it is content need not
wait for its end: it takes what is there (`take`), and gets the rest in pieces as they come:

    (name, data)    a complete event; its name is b"" if it has none
    (None, piece)   a part of the event that was taken, ready to be sent
    (None, END)     its end; never merged with what precedes it

Everything else is as in `sse`: ids, retry times and comments are dropped, even inside a large event; what follows the
last empty line is not an event.
"""

from __future__ import annotations

from typing import Final

from oxllm.core.wire.sse import CR, EVENT_MAX, LF, Lines

LARGE: Final = 64 * 1024
"""Bytes of an incomplete event at which to look whether it can be passed on as it comes: as many as may be unsent to a
slow client before its provider is no longer read."""
HEAD_MAX: Final = 1024
"""Bytes of an event's data that are enough to tell its kind."""
NAME_MAX: Final = 256
"""Bytes of a name; a longer one is dropped, as is one that is not ASCII: some SDKs crash on bytes not in UTF-8."""
END: Final = b"\n\n"

Event = tuple[bytes | None, bytes]


class NamedDecoder(Lines):
    """Cuts a stream into named events, however its bytes arrive."""

    __slots__ = ("_in_data", "_name", "open", "too_large")

    def __init__(self) -> None:
        super().__init__()
        self._name = b""
        self._in_data = False
        """The current line is data of the event that was taken, and is passed on as it comes."""
        self.open = False
        """An event was taken, and its end has not come."""
        self.too_large = False
        """An event over EVENT_MAX was not taken. The decoder cannot be used any further."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes, and the pieces of one that was taken. Events without data are left out."""
        under_way = self._line or self._used or self._name or self.open
        if not under_way and data.startswith(b"event: ") and data.endswith(END) and len(data) <= EVENT_MAX:
            events = _whole(data)
            if events is not None:
                self._started = True
                return events
        return self._feed_lines(data)

    def head(self) -> tuple[bytes, bytes]:
        """The name and the first bytes of the data of the incomplete event."""
        line = self._line[: HEAD_MAX + 6]
        start = bytes(self._data[:HEAD_MAX])
        if line.startswith(b"data:"):
            start += line[6:] if line.startswith(b"data: ") else line[5:]
        return self._name, start[:HEAD_MAX]

    def take(self, name: bytes) -> bytes:
        """What there is of the incomplete event, ready to be sent under `name`; the rest comes as pieces."""
        line = self._line
        if len(line) > 5 and self._take_data(line):
            line.clear()
            self._in_data = self._started = True  # so no BOM can follow
        data = bytes(self._data[:-1])
        self._data.clear()
        self._used = 0
        self._name = b""
        self.open = True
        return b"event: " + name + b"\ndata: " + data.replace(b"\n", b"\ndata: ")

    def _feed_lines(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        parts = self._split(data)
        self._add(parts[0], events)
        for part in parts[1:]:
            if self.too_large:
                return events
            self._end_line(events)
            self._add(part, events)
        return events

    def _add(self, part: bytes, events: list[Event]) -> None:
        """Add to the current line."""
        if self._in_data:
            if part:
                events.append((None, part))
            return
        line = self._line
        line += part
        if self.open and len(line) > 5 and line.startswith(b"data:"):
            events.append((None, b"\ndata: " + line[6 if line.startswith(b"data: ") else 5 :]))
            line.clear()
            self._in_data = True
        self.too_large = self.pending > EVENT_MAX

    def _end_line(self, events: list[Event]) -> None:
        line = self._line
        if self._in_data:
            self._in_data = False
            return
        if not self._started:
            self._start(line)
        if not line:
            self._end_event(events)
        elif line.startswith(b"event"):
            self._take_name(line)
        elif self.open:
            if line.startswith(b"data:") or line == b"data":  # an empty data line
                events.append((None, b"\ndata: "))
        else:
            self._take_data(line)
        line.clear()

    def _take_name(self, line: bytearray) -> None:
        field, _, value = line.partition(b":")
        if field == b"event" and not self.open:
            name = value.removeprefix(b" ")
            self._name = bytes(name) if _is_name(name) else b""

    def _end_event(self, events: list[Event]) -> None:
        if self.open:
            self.open = False
            events.append((None, END))
            return
        del self._data[-1:]
        if self._data:
            events.append((self._name, bytes(self._data)))
            self._data.clear()
        self._name = b""
        self._used = 0


def _is_name(name: bytes | bytearray) -> bool:
    return len(name) <= NAME_MAX and name.isascii()


def _whole(data: bytes) -> list[Event] | None:
    """The usual case: only complete events of two lines each. None if it is not that."""
    if CR in data:
        return None
    if data.count(LF) == 3:  # one event
        name, _, payload = data[7:-2].partition(b"\ndata: ")
        return [(name, payload)] if payload and LF not in payload and _is_name(name) else None
    events: list[Event] = []
    for text in data[:-2].split(END):
        name, _, payload = text[7:].partition(b"\ndata: ")
        if not payload or LF in payload or LF in name or not _is_name(name) or not text.startswith(b"event: "):
            return None
        events.append((name, payload))
    return events
