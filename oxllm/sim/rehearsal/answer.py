"""Reads an answer as a client of each protocol does, and decides whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from oxllm.sim.provider import text
from oxllm.sim.provider.exchange import answer_length
from oxllm.sim.provider.protocols import embeddings, other
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal.question import DOCUMENTS, Question

Json = dict[str, Any]


class Answer:
    """What one client has received so far, read as an SDK would."""

    __slots__ = ("_plain", "_protocol", "content", "error", "finished", "vectors")

    def __init__(self, protocol: str = "chat") -> None:
        self.content = ""
        self.error: str | None = None
        self.finished = False
        self.vectors: list[object] = []
        """Results of an answer that is not text: vectors, or ranks."""
        self._protocol = protocol
        self._plain: list[str] = []

    @property
    def empty(self) -> bool:
        """No content has arrived."""
        return not self.content and not self.vectors

    def line(self, line: str, events: bool) -> None:
        """Add a line. `events`: it is part of an event stream."""
        if not events:
            self._plain.append(line)
        elif line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            self._event(_parsed(data))

    def end(self, stream: bool, status: int | None) -> None:
        """The response has ended."""
        if status is None or self.error is not None or (stream and status == 200):
            return
        body = _parsed("\n".join(self._plain)) or {}
        if status != 200:
            self.error = f"HTTP {status} {_code(body)}"
            return
        self._read(_BODIES, body, "an answer")
        if self.empty and self.error is None:
            self.error = "200 without an answer"

    def verdict(self, question: Question, seed: int, upstreams: Iterable[Upstream]) -> tuple[str, str]:
        """One of the values of `Transcript.verdict`, and what was wrong."""
        if self.error is not None:
            return ("refused" if self.empty else "broken"), self.error
        if question.protocol in _EXACT:
            whole = any(self.vectors == _EXACT[question.protocol](seed, upstream, question) for upstream in upstreams)
            return ("whole", "") if whole else ("truncated", f"{len(self.vectors)} results, not of any provider")
        if self.finished and any(self._whole(seed, upstream, question) for upstream in upstreams):
            return "whole", ""
        return "truncated", f"{len(self.content)} characters, {'finished' if self.finished else 'not finished'}"

    def _whole(self, seed: int, upstream: Upstream, question: Question) -> bool:
        """Whether it is exactly this provider's answer, from the first token to the last."""
        tokens = text.whole_tokens(self.content, seed, upstream.name, question.asked)
        return tokens == answer_length(seed, upstream, question.asked)

    def _event(self, event: Json | None) -> None:
        if event is None:
            self.error = "an event that is no JSON"
        else:
            self._read(_EVENTS, event, "an event")

    def _read(self, readers: Readers, said: Json, what: str) -> None:
        """Read an event or a body. The gateway under test may send anything, so errors of shape are caught."""
        try:
            readers[self._protocol](self, said)
        except (AttributeError, KeyError, TypeError):
            self.error = f"{what} of no known shape"


Readers = dict[str, Callable[[Answer, Json], None]]
"""Protocol -> reader of an event, or of a body."""


def _chat_event(answer: Answer, event: Json) -> None:
    _choices(answer, event, lambda choice: choice.get("delta", {}).get("content"))


def _chat_body(answer: Answer, body: Json) -> None:
    _choices(answer, body, lambda choice: choice.get("message", {}).get("content"))


def _completion(answer: Answer, event: Json) -> None:
    _choices(answer, event, lambda choice: choice.get("text"))


def _choices(answer: Answer, said: Json, content: Callable[[Json], str | None]) -> None:
    if "error" in said:
        answer.error = f"error event {_code(said)}"
    for choice in said.get("choices") or []:
        answer.content += content(choice) or ""
        answer.finished = answer.finished or bool(choice.get("finish_reason"))


def _messages_event(answer: Answer, event: Json) -> None:
    """As in the SDKs, `message_stop` ends the answer."""
    match event.get("type"):
        case "error":
            answer.error = f"error event {_code(event)}"
        case "content_block_delta":
            answer.content += event["delta"].get("text", "")
        case "message_stop":
            answer.finished = True


def _messages_body(answer: Answer, body: Json) -> None:
    answer.content = "".join(block.get("text", "") for block in body.get("content") or [])
    answer.finished = body.get("stop_reason") is not None


def _responses_event(answer: Answer, event: Json) -> None:
    match event.get("type"):
        case "error" | "response.failed":
            answer.error = f"error event {_code(event.get('response') or event)}"
        case "response.output_text.delta":
            answer.content += event["delta"]
        case "response.completed":
            answer.finished = _text_of(event["response"]) == answer.content


def _responses_body(answer: Answer, body: Json) -> None:
    answer.content = _text_of(body)
    answer.finished = body.get("status") == "completed"


def _text_of(response: Json) -> str:
    """The text of a response object."""
    blocks = [block for item in response.get("output") or [] for block in item.get("content") or []]
    return "".join(block.get("text", "") for block in blocks)


def _embeddings_body(answer: Answer, body: Json) -> None:
    answer.vectors = [item.get("embedding") for item in body.get("data") or []]


def _json_body(answer: Answer, body: Json) -> None:
    answer.vectors = [[item.get("index"), item.get("relevance_score")] for item in body.get("results") or []]


_EVENTS: Readers = {
    "chat": _chat_event,
    "completions": _completion,
    "messages": _messages_event,
    "responses": _responses_event,
}
_BODIES: Readers = {
    "chat": _chat_body,
    "completions": _completion,
    "messages": _messages_body,
    "responses": _responses_body,
    "embeddings": _embeddings_body,
    "json": _json_body,
}


def _vectors(seed: int, upstream: Upstream, question: Question) -> list[object]:
    return [text.vector(seed, upstream.name, question.asked, embeddings.DIMENSIONS)]


def _ranks(seed: int, upstream: Upstream, question: Question) -> list[object]:
    return [list(rank) for rank in other.ranks(seed, upstream.name, question.asked, DOCUMENTS)]


_EXACT: dict[str, Callable[[int, Upstream, Question], list[object]]] = {"embeddings": _vectors, "json": _ranks}
"""Protocol -> a provider's answer, where that is not text."""


def _parsed(text: str) -> Json | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _code(body: Json) -> str:
    error = body.get("error", body)
    return str(error.get("code") or error.get("type")) if isinstance(error, dict) else "unreadable"
