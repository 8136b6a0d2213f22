"""The lines of the log, as text or as JSON. Text from outside is escaped, so that a model name cannot forge a line. A
request's id is printable ASCII, wherever it comes from."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from oxllm.core.known import Known
from oxllm.core.reading.outcome import SUCCESS
from oxllm.gateway.observe.ended import Ended
from oxllm.words import printable, seconds

NAMES_MAX: Final = 256
"""Beginnings of lines that are cached. A gateway needs fewer, except for names that clients make up."""
NAME_MAX: Final = 256
"""Characters of the names in one that is cached: clients may send far longer ones."""

Key = tuple[int, str, str, str | None, str | None]
"""Status, protocol, model; provider and its model, if one answered."""
_SUCCESS: Final[str] = SUCCESS.reason
_json: Final = msgspec.json.Encoder()


class Lines:
    """Renders the lines, line ends included."""

    __slots__ = ()

    def request(self, ended: Ended) -> bytes:
        """A request has ended."""
        raise NotImplementedError

    def event(self, wall: float, kind: str, text: str) -> bytes:
        """Anything else. `wall`: seconds since the epoch."""
        raise NotImplementedError

    def refused(self, wall: float, status: int, message: str, request_id: str, peer: str) -> bytes:
        """A request was answered without asking a provider. `peer` may be empty."""
        raise NotImplementedError


class JsonLines(Lines):
    """One JSON object per line."""

    __slots__ = ()

    def request(self, ended: Ended) -> bytes:
        failed = [step for step in ended.steps if step.result != _SUCCESS]
        return _line(
            {
                "time": ended.time,
                "event": "request",
                "id": ended.id,
                "protocol": ended.protocol,
                "model": ended.model,
                "status": ended.status,
                "provider": ended.provider,
                "upstream_model": ended.upstream_model,
                "attempts": ended.attempts,
                "stream": ended.stream,
                "first_content_ms": None if ended.first_content is None else round(ended.first_content * 1000, 1),
                "total_ms": round(ended.total * 1000, 1),
                "prompt_tokens": ended.prompt_tokens,
                "completion_tokens": ended.completion_tokens,
                "cached_tokens": ended.cached_tokens,
                "end": ended.error or "ok",
                "failed": [f"{step.target}: {step.result}" for step in failed],
                "failed_status": [step.status for step in failed],
            }
        )

    def event(self, wall: float, kind: str, text: str) -> bytes:
        return _line({"time": wall, "event": kind, "message": text})

    def refused(self, wall: float, status: int, message: str, request_id: str, peer: str) -> bytes:
        fields = {"time": wall, "event": "refused", "id": request_id, "status": status, "message": message}
        return _line({**fields, "peer": peer or None})


class TextLines(Lines):
    """Text for people. Most requests' lines begin like an earlier one, so the time stamp and the names are cached."""

    __slots__ = ("_names", "_second", "_stamp")

    def __init__(self) -> None:
        self._second = -1.0
        self._stamp = ""
        self._names: dict[Key, str] = Known(_names, NAMES_MAX, NAME_MAX, _letters)

    def request(self, ended: Ended) -> bytes:
        key = ended.status, ended.protocol, ended.model, ended.provider, ended.upstream_model
        begin, end = self._names[key], ""
        prompt, made, known = ended.prompt_tokens, ended.completion_tokens, ended.cached_tokens
        if prompt is not None and made is not None:
            end = f" ({prompt}+{made} tokens, {known} cached)" if known else f" ({prompt}+{made} tokens)"
        if ended.error is not None or len(ended.steps) > 1:
            failed = _failed(ended)
            if failed:
                begin += f" after [{failed}]"
            if ended.error is not None:
                end += printable(f" ended: {ended.error}")
        if ended.stream and ended.first_content is not None:
            begin += f" first {seconds(ended.first_content)},"
        return f"{self._clock(ended.time)} {begin} total {seconds(ended.total)}{end} {ended.id}\n".encode()

    def event(self, wall: float, kind: str, text: str) -> bytes:
        return f"{self._clock(wall)} {kind}: {printable(text)}\n".encode()

    def refused(self, wall: float, status: int, message: str, request_id: str, peer: str) -> bytes:
        return self.event(wall, "refused", f"{status}{f' to {peer}' if peer else ''}: {message}, {request_id}")

    def _clock(self, wall: float) -> str:
        if not self._second <= wall < self._second + 1.0:
            self._second = wall - wall % 1.0
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall))
        return self._stamp


def _names(key: Key) -> str:
    """`200 chat smart -> alpha/big-1`."""
    status, protocol, model, provider, upstream_model = key
    served = "" if provider is None else f" -> {provider}/{upstream_model}"
    return printable(f"{status or '---'} {protocol} {model}{served}")


def _letters(key: Key) -> int:
    """The total length of the names in it."""
    _, protocol, model, provider, upstream_model = key
    return len(protocol) + len(model) + len(provider or "") + len(upstream_model or "")


def _failed(ended: Ended) -> str:
    """The failed attempts, `alpha/big-1: HTTP 503`, without what the line's `ended:` says anyway."""
    end, served = ended.error or "", f"{ended.provider}/{ended.upstream_model}"
    failed = [
        f"{step.target}: {step.result}"
        for step in ended.steps
        if step.result != _SUCCESS and not (step.target == served and step.result == end)
    ]
    return printable(", ".join(one for one in failed if one not in end))


def _line(fields: dict[str, object]) -> bytes:
    return _json.encode(fields) + b"\n"
