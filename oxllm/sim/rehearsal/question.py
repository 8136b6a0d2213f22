"""What the clients of a rehearsal ask, in every protocol that a name's providers speak. Each question is asked once.

Questions are unique, so that their attempts can be found in the ledgers, and their answers compared with what each
provider would say. Question i of a seed is the same in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from oxllm.config.names import makes_vectors
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.request import fingerprint

Json = dict[str, object]
DOCUMENTS = 4
"""Number of documents to rerank."""


class Form(msgspec.Struct, frozen=True):
    """How to ask in a protocol. `body` and `decisive` take the question's text."""

    path: str
    body: Callable[[str], Json]
    decisive: Callable[[str], object]
    """The part of the body that decides the answer; its fingerprint is the question's."""
    streams: bool = True
    share: int = 1
    """Share of a name's questions that are in this protocol, relative to the others."""
    headers: tuple[tuple[str, str], ...] = ()


def _messages(content: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": content}]


def _documents(content: str) -> list[str]:
    return [f"{content} Document {number}." for number in range(DOCUMENTS)]


FORMS = {
    "chat": Form("/chat/completions", lambda said: {"messages": _messages(said)}, _messages, share=4),
    "responses": Form("/responses", lambda said: {"input": said, "store": False}, str, share=4),
    "messages": Form(
        "/messages",
        lambda said: {"messages": _messages(said), "max_tokens": 100_000},
        _messages,
        share=4,
        headers=(("anthropic-version", "2023-06-01"),),
    ),
    "completions": Form("/completions", lambda said: {"prompt": said}, str),
    "embeddings": Form("/embeddings", lambda said: {"input": said}, str, streams=False, share=4),
    "json": Form("/rerank", lambda said: {"query": said, "documents": _documents(said)}, _documents, streams=False),
}
"""Protocol -> how to ask in it."""


class Question(msgspec.Struct, frozen=True):
    """One client request."""

    number: int
    model: str
    """The name that the client asks for."""
    protocol: str
    stream: bool
    asked: str
    """Its fingerprint, as in the ledgers."""
    content: str

    @property
    def path(self) -> str:
        """Relative to the base URL."""
        return FORMS[self.protocol].path

    @property
    def headers(self) -> dict[str, str]:
        return dict(FORMS[self.protocol].headers)

    @property
    def body(self) -> Json:
        form = FORMS[self.protocol]
        return {"model": self.model, **form.body(self.content), **({"stream": self.stream} if form.streams else {})}


class Questions:
    """All questions of a load. `models`: the names that clients use -> the models behind them, by which it is known
    what can be asked; `streams`: the share that streams, where a protocol can; `spoken`: name -> its providers'
    protocols."""

    def __init__(
        self,
        seed: int,
        models: Mapping[str, Sequence[str]],
        streams: float,
        spoken: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._seed = seed
        self._streams = streams
        asked = [(name, askable(behind, (spoken or {}).get(name))) for name, behind in models.items()]
        most = max(FORMS[protocol].share for _, protocols in asked for protocol in protocols)
        self._turns = [
            (name, protocol)
            for turn in range(most)
            for name, protocols in asked
            for protocol in protocols
            if turn < FORMS[protocol].share
        ]

    @property
    def turn(self) -> int:
        """Number of questions after which each name was asked in each protocol as often as its share says."""
        return len(self._turns)

    def __getitem__(self, number: int) -> Question:
        """Question `number`. Names and their protocols take turns."""
        model, protocol = self._turns[number % len(self._turns)]
        form, content = FORMS[protocol], f"Rehearsal {self._seed}, question {number}."
        stream = form.streams and Chance(self._seed, "load", number).draw("stream") < self._streams
        return Question(number, model, protocol, stream, fingerprint(form.decisive(content)), content)


def askable(behind: Sequence[str], spoken: Sequence[str] | None) -> tuple[str, ...]:
    """The protocols in which a name is asked: for embedding models embeddings only; for others all that are spoken
    except embeddings (if that is unknown, chat)."""
    wanted = {"embeddings"} if makes_vectors(*behind) else set(FORMS) - {"embeddings"}
    known = ("chat", "embeddings") if spoken is None else spoken
    return tuple(protocol for protocol in FORMS if protocol in known and protocol in wanted)


def lane(model: str, protocol: str) -> str:
    """A name for the model in one protocol, since each protocol may have different providers."""
    return model if protocol in ("chat", "embeddings") else f"{model} ({protocol})"
