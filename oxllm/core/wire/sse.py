"""Server-sent events, sans I/O: bytes in, the data of complete events out.

The grammar is WHATWG HTML, "Parsing an event stream": UTF-8 with an optional BOM, lines ended by CR, LF or CRLF,
`field: value` with one optional space, events ended by an empty line. Only the data of an event is kept: names, ids,
retry times and comments mean nothing in the OpenAI API, and break its clients when passed on carelessly. A field
`error`, which the grammar does not have, counts as data. What follows the last empty line is not an event: one that was
cut off must not look complete.
"""

from __future__ import annotations

import re
from typing import Final

EVENT_MAX: Final = 1024 * 1024
"""Bytes of the data lines of one event, field names included, and of any single line. Base64 audio comes in events of
some 100 KB; beyond this limit a provider is not talking SSE."""

KIND_MAX: Final = 4096
"""Bytes of an event in which its kind must show."""
CR, LF = 13, 10
_BOM: Final = b"\xef\xbb\xbf"
_NOTHING: Final = bytearray()
"""Stays empty: shared by all streams that come in complete one-line events, as nearly all do."""


class TooLarge(ValueError):
    """An event over EVENT_MAX. The decoder cannot be used any further."""

    def __init__(self, events: list[bytes]) -> None:
        super().__init__(f"an event over {EVENT_MAX} bytes")
        self.events = events
        """The events that `feed` had found before it."""


class Lines:
    """What event decoders share: cutting a stream into lines, and holding an incomplete event."""

    __slots__ = ("_after_cr", "_data", "_line", "_started", "_used")

    def __init__(self) -> None:
        self._line = bytearray()
        """The line that has not ended yet."""
        self._data = _NOTHING
        """The values of this event's data lines, each followed by a LF."""
        self._used = 0
        """Bytes of these lines as received."""
        self._after_cr = False
        """The last byte was a CR, so a LF that follows belongs to it."""
        self._started = False
        """The first line has been seen, so no BOM can come any more."""

    @property
    def pending(self) -> int:
        """Bytes held of an incomplete event."""
        return self._used + len(self._line)

    def _split(self, data: bytes) -> list[bytes]:
        """`data`, cut at its line ends. A CR at the very end is one; a LF that later completes it is dropped."""
        if data and self._after_cr:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data.split(b"\n")

    def _take_data(self, line: bytearray) -> bool:
        """If `line` is a data line, keep its value. False, with `line` unchanged, if it is another field."""
        if not line.startswith(b"data:") and line != b"data":
            return False
        self._used += len(line)
        if self._data is _NOTHING:
            self._data = bytearray()
        del line[: 6 if line.startswith(b"data: ") else 5]
        self._data += line
        self._data += b"\n"
        return True

    def _start(self, line: bytearray) -> None:
        """The stream's first line: the only one that may begin with a BOM."""
        self._started = True
        if line.startswith(_BOM):
            del line[:3]


class Decoder(Lines):
    """Cuts a stream into events, however its bytes arrive."""

    __slots__ = ()

    def feed(self, data: bytes) -> list[bytes]:
        """The data of each event that `data` completes, its lines joined by LF. Events without data are left out.

        Raises TooLarge.
        """
        between = not self._line and not self._used
        if between and data.startswith(b"data: ") and data.endswith(b"\n\n") and CR not in data:
            one = data.find(LF) == len(data) - 2
            events = [data[6:-2]] if one else data[6:-2].split(b"\n\ndata: ")
            if (one or data.count(LF) == 2 * len(events)) and b"" not in events and len(data) <= EVENT_MAX:
                self._started = True
                return events  # the usual case: only complete events of one line each
        return self._feed_lines(data)

    def take_line(self, kind: re.Pattern[bytes]) -> bytes:
        """Take out what has come of an unfinished data line's value, if it is the event's first data line and its first
        KIND_MAX bytes match `kind`; else nothing. The rest of the line is then the caller's, too."""
        line = self._line
        if self._data or not line.startswith(b"data:") or kind.match(line, 5, KIND_MAX) is None:
            return b""
        value = bytes(line[6 if line.startswith(b"data: ") else 5 :])
        line.clear()
        return value

    def _feed_lines(self, data: bytes) -> list[bytes]:
        events: list[bytes] = []
        parts = self._split(data)
        self._line += parts[0]
        for part in parts[1:]:
            self._end_line(events)
            self._line += part
        if self.pending > EVENT_MAX:
            raise TooLarge(events)
        return events

    def _end_line(self, events: list[bytes]) -> None:
        line = self._line
        if self.pending > EVENT_MAX:
            raise TooLarge(events)
        if not self._started:
            self._start(line)
        if not line:
            self._end_event(events)
        elif not self._take_data(line) and line.startswith(b"error:"):
            self._take_error(line)
        line.clear()

    def _take_error(self, line: bytearray) -> None:
        """Keep what llama.cpp says in a field `error` (until October 2025) as if it were the data of an event."""
        value = line[6:].strip()
        if value.startswith(b"{"):
            self._take_data(bytearray(b'data: {"error":%b}' % bytes(value)))

    def _end_event(self, events: list[bytes]) -> None:
        del self._data[-1:]
        if self._data:
            events.append(bytes(self._data))
            self._data.clear()
        self._used = 0
