"""What the clients of a rehearsal ask, in every protocol that is spoken behind a name, each question only once.

Every question is its own, so that its attempts can be found in the ledgers and its answer compared with what each
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
"""To be ranked."""


class Form(msgspec.Struct, frozen=True):
    """How a protocol is asked. `body` and `decisive` are made of what the question says."""

    path: str
    body: Callable[[str], Json]
    decisive: Callable[[str], object]
    """What of the body decides the answer; its fingerprint is the question's."""
    streams: bool = True
    share: int = 1
    """How many of a name's questions are of this protocol, against the others."""
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
"""Protocol -> how it is asked."""


class Question(msgspec.Struct, frozen=True):
    """One client request."""

    number: int
    model: str
    """As the client names it."""
    protocol: str
    stream: bool
    asked: str
    """Its fingerprint, by which the ledgers know it."""
    content: str

    @property
    def path(self) -> str:
        """Behind the base URL."""
        return FORMS[self.protocol].path

    @property
    def headers(self) -> dict[str, str]:
        return dict(FORMS[self.protocol].headers)

    @property
    def body(self) -> Json:
        form = FORMS[self.protocol]
        return {"model": self.model, **form.body(self.content), **({"stream": self.stream} if form.streams else {})}


class Questions:
    """All that a load asks. `models`: the names that clients use -> the models behind them, which tell what can be
    asked; `streams`: the share of chats that stream; `spoken`: name -> the protocols behind it."""

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
        """After how many of them each name has been asked in each protocol as often as is its share."""
        return len(self._turns)

    def __getitem__(self, number: int) -> Question:
        """The names, and the protocols of each, take turns."""
        model, protocol = self._turns[number % len(self._turns)]
        form, content = FORMS[protocol], f"Rehearsal {self._seed}, question {number}."
        stream = form.streams and Chance(self._seed, "load", number).draw("stream") < self._streams
        return Question(number, model, protocol, stream, fingerprint(form.decisive(content)), content)


def askable(behind: Sequence[str], spoken: Sequence[str] | None) -> tuple[str, ...]:
    """The protocols in which a name is asked: all that are spoken (chat, if that is not known), but of models that make
    vectors vectors alone, and of others none."""
    wanted = {"embeddings"} if makes_vectors(*behind) else set(FORMS) - {"embeddings"}
    known = ("chat", "embeddings") if spoken is None else spoken
    return tuple(protocol for protocol in FORMS if protocol in known and protocol in wanted)


def lane(model: str, protocol: str) -> str:
    """What a name is called in one protocol: two of them may have different providers behind them."""
    return model if protocol in ("chat", "embeddings") else f"{model} ({protocol})"
