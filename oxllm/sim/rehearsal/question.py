"""What the clients of a rehearsal ask: chats, streamed or not, and embeddings, each of them only once.

Every question is its own, so that its attempts can be found in the ledgers and its answer compared with what each
provider would say. Question i of a seed is the same in every run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.request import fingerprint

EMBEDDING = re.compile(r"embed|(?<![a-z0-9])(bge|e5|gte)(?![a-z0-9])", re.IGNORECASE)
"""Names of models that make vectors; `oxllm validate` knows them by the same pattern."""


class Question(msgspec.Struct, frozen=True):
    """One client request."""

    number: int
    model: str
    """As the client names it."""
    stream: bool
    embeddings: bool
    asked: str
    """Its fingerprint, by which the ledgers know it."""
    content: str

    @property
    def path(self) -> str:
        """Behind the base URL."""
        return "/embeddings" if self.embeddings else "/chat/completions"

    @property
    def body(self) -> dict[str, object]:
        if self.embeddings:
            return {"model": self.model, "input": self.content}
        return {"model": self.model, "messages": _messages(self.content), "stream": self.stream}


class Questions:
    """All that a load asks. `models`: the names that clients use -> the models behind them, which tell what can be
    asked; `streams`: the share of chats that stream."""

    def __init__(self, seed: int, models: Mapping[str, Sequence[str]], streams: float) -> None:
        self._seed = seed
        self._streams = streams
        self._models = [(name, makes_vectors(name, *behind)) for name, behind in models.items()]

    def __getitem__(self, number: int) -> Question:
        """The names take turns."""
        model, embeddings = self._models[number % len(self._models)]
        content = f"Rehearsal {self._seed}, question {number}."
        stream = not embeddings and Chance(self._seed, "load", number).draw("stream") < self._streams
        asked = fingerprint(content if embeddings else _messages(content))
        return Question(number, model, stream, embeddings, asked, content)


def makes_vectors(*names: str) -> bool:
    """Whether a model of these names is asked for embeddings."""
    return any(EMBEDDING.search(name) for name in names)


def _messages(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]
