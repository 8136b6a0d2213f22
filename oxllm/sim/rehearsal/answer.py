"""An answer as a client reads it, and whether it is a whole one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from oxllm.sim.provider import text
from oxllm.sim.provider.exchange import answer_length
from oxllm.sim.provider.request import Ask
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.rehearsal.question import Question

DIMENSIONS = Ask("").dimensions
"""Of a vector, when the client does not say."""


class Answer:
    """What one client has got so far, read as an SDK reads it."""

    __slots__ = ("_plain", "content", "error", "finished", "vectors")

    def __init__(self) -> None:
        self.content = ""
        self.error: str | None = None
        self.finished = False
        self.vectors: list[object] = []
        self._plain: list[str] = []

    @property
    def empty(self) -> bool:
        """Nothing of the answer itself has come."""
        return not self.content and not self.vectors

    def line(self, line: str, events: bool) -> None:
        """One more line; `events`: of a stream."""
        if not events:
            self._plain.append(line)
        elif line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            self._event(_parsed(data))

    def end(self, stream: bool, status: int | None) -> None:
        """Nothing more comes."""
        if status is None or self.error is not None or (stream and status == 200):
            return
        body = _parsed("\n".join(self._plain)) or {}
        if status != 200:
            self.error = f"HTTP {status} {_code(body)}"
        elif body.get("choices"):
            self._choices(body["choices"], "message")
        elif body.get("data"):
            self.vectors = [item.get("embedding") for item in body["data"]]
        else:
            self.error = "200 without choices or vectors"

    def verdict(self, question: Question, seed: int, upstreams: Iterable[Upstream]) -> tuple[str, str]:
        """One of the words of `Transcript.verdict`, and what was wrong."""
        if self.error is not None:
            return ("refused" if self.empty else "broken"), self.error
        if question.embeddings:
            whole = any(self.vectors == [_vector(seed, upstream, question)] for upstream in upstreams)
            return ("whole", "") if whole else ("truncated", f"{len(self.vectors)} vectors, not of any provider")
        if self.finished and any(self._whole(seed, upstream, question) for upstream in upstreams):
            return "whole", ""
        return "truncated", f"{len(self.content)} characters, finish_reason {self.finished}"

    def _whole(self, seed: int, upstream: Upstream, question: Question) -> bool:
        """Whether it is what this provider says, from its first token to its last."""
        tokens = text.whole_tokens(self.content, seed, upstream.name, question.asked)
        return tokens == answer_length(seed, upstream, question.asked)

    def _event(self, event: dict[str, Any] | None) -> None:
        if event is None:
            self.error = "an event that is no JSON"
        elif "error" in event:
            self.error = f"error event {_code(event)}"
        else:
            self._choices(event.get("choices") or [], "delta")

    def _choices(self, choices: Sequence[dict[str, Any]], part: str) -> None:
        for choice in choices:
            self.content += choice.get(part, {}).get("content") or ""
            self.finished = self.finished or bool(choice.get("finish_reason"))


def _vector(seed: int, upstream: Upstream, question: Question) -> list[float]:
    return text.vector(seed, upstream.name, question.asked, DIMENSIONS)


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _code(body: dict[str, Any]) -> str:
    error = body.get("error")
    return str(error.get("code")) if isinstance(error, dict) else "unreadable"
