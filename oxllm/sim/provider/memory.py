"""What a provider stores until the end of the run: the answers of the Responses API, which it serves by id, and the
threads of the Messages API."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

import msgspec

from oxllm.sim.dialects.base import Json
from oxllm.sim.provider.reply import Part

KEEP = 4096
"""Most answers stored; a rehearsal of ten minutes asks for fewer."""
KEEP_BYTES = 32_000_000
"""Most bytes of requests whose answers are stored. Each takes some three times as many, with what was made of it."""


class Remembered(msgspec.Struct):
    """One answer of the Responses API."""

    response: Json
    """As it will be once complete."""
    items: list[Json]
    """What was asked, as input items."""
    size: int
    """Bytes of the request."""
    ready: float
    """When it is complete; in progress until then."""
    stream: Callable[[], Iterator[Part]]
    """The events of its stream, each due when it was first."""
    cancelled: bool = False

    def told(self, now: float) -> Json:
        """The answer as a client sees it now."""
        if self.cancelled:
            return {**self.response, "status": "cancelled", "output": [], "usage": None}
        if now < self.ready:
            return {**self.response, "status": "in_progress", "output": [], "usage": None}
        return self.response


class Memory:
    """The newest answers and threads of one provider, as many as there is room for."""

    __slots__ = ("_bytes", "_items", "_known", "_threads")

    def __init__(self) -> None:
        self._bytes = 0
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        self._items: dict[str, str] = {}
        """Id of an output item -> id of its answer."""
        self._threads: OrderedDict[str, None] = OrderedDict()
        """The ids of messages that can be continued."""

    def keep(self, answer: Remembered) -> None:
        self.forget(answer.response["id"])  # a request that comes again has the same
        self._known[answer.response["id"]] = answer
        self._items.update({item["id"]: answer.response["id"] for item in answer.response["output"]})
        self._bytes += answer.size
        while len(self._known) > 1 and (len(self._known) > KEEP or self._bytes > KEEP_BYTES):
            self.forget(next(iter(self._known)))

    def find(self, identity: str) -> Remembered | None:
        return self._known.get(identity)

    def forget(self, identity: str) -> bool:
        """Delete the answer; returns whether there was one."""
        answer = self._known.pop(identity, None)
        if answer is None:
            return False
        self._bytes -= answer.size
        for item in answer.response["output"]:
            self._items.pop(item["id"], None)
        return True

    def has_item(self, identity: str) -> bool:
        """Whether a stored answer has an item with that id."""
        return identity in self._items

    def hold(self, message: str) -> None:
        """A thread can be continued from this message."""
        self._threads[message] = None
        if len(self._threads) > KEEP:
            self._threads.popitem(last=False)

    def holds(self, message: str) -> bool:
        return message in self._threads
