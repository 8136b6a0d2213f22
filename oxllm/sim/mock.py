"""A provider for the tests of code that calls one: `llm_sim`.

    with llm_sim() as sim:                               # or the pytest fixture of the same name
        sim.reply("Hello!")
        sim.fault("429~1s x2, then cut@token:3")
        answer = code_under_test()                       # OPENAI_BASE_URL and its like point at the simulator
        assert sim.requests[-1].model == "gpt-5"
        assert sim.verdict().ok, sim.verdict()

Real sockets, real faults, the protocols and errors of the real providers; the code under test is not patched. It runs
in its own thread, so it serves blocking and async code alike, and on a free port, so tests may run in parallel.
"""

from __future__ import annotations

import itertools
import os
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import msgspec

from oxllm.sim.provider import pace as paces
from oxllm.sim.provider import said
from oxllm.sim.provider.ledger import GONE, Harm, Record
from oxllm.sim.provider.request import BadAsk, SimRequest
from oxllm.sim.provider.said import Said
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim

NAME = "sim"
KEY = "sk-llm-sim"
ATTEMPTS = 3
"""How often a question may be asked: the first attempt, and the SDKs' default of two retries."""
EARLY_S = 0.05
"""Tolerance for clocks."""


class ToolCall(msgspec.Struct, frozen=True):
    """An answer that calls a function."""

    name: str
    arguments: Mapping[str, Any] = {}


class Asked(msgspec.Struct, frozen=True):
    """One request, as received."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    json: Any
    """The body, or None if it is not JSON."""

    @property
    def model(self) -> str | None:
        return self.json.get("model") if isinstance(self.json, dict) else None

    @property
    def messages(self) -> Any:
        """The `messages` of Chat or Messages, or the `input` of Responses."""
        body = self.json if isinstance(self.json, dict) else {}
        return body.get("messages", body.get("input"))

    @property
    def stream(self) -> bool:
        return isinstance(self.json, dict) and self.json.get("stream") is True


Answer = str | Mapping[str, Any] | list[Any] | ToolCall
Reply = Answer | Callable[[Asked], Answer]


class Verdict(msgspec.Struct, frozen=True):
    """How the code under test handled the faults."""

    requests: int
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


class LLMSim:
    """A simulated provider controlled by a test. `base_url` ends in `/v1`, `anthropic_base_url` does not."""

    def __init__(self, seed: int = 7, pace: str = "instant", models: Sequence[str] = ()) -> None:
        """`models`: those that exist. If given, other models, values out of bounds or a missing key are refused."""
        if isinstance(models, str):
            raise TypeError(f"models is a list of names: write [{models!r}]")
        upstream = Upstream(NAME, models=tuple(models) or ("sim-1",), pace=paces.parse(pace), strict=bool(models))
        self._sim = Sim(upstream, seed=seed)
        self._seen: list[SimRequest] = []

    def __enter__(self) -> Self:
        self._sim.__enter__()
        self._sim.provider(NAME).watch = self._seen.append
        return self

    def __exit__(self, *error: object) -> None:
        self._sim.__exit__(*error)

    @property
    def base_url(self) -> str:
        return self._sim.url(NAME)

    @property
    def anthropic_base_url(self) -> str:
        return self.base_url.removesuffix("/v1")

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that point the official SDKs here."""
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": self.anthropic_base_url,
            "ANTHROPIC_API_KEY": KEY,
        }

    def reply(self, *replies: Reply) -> None:
        """Answers to the next requests; the last one is repeated. Each is a text, a value (sent as JSON), a ToolCall,
        or a function that takes the request and returns one of these."""
        for reply in replies:
            self._sim.provider(NAME).directions.reply(_decided(reply))

    def fault(self, script: str) -> None:
        """Faults for the next requests, as in `429~1s x2, then cut@token:3`; then healthy again. Raises
        GrammarError."""
        if not isinstance(script, str):
            raise TypeError(f"{script!r} is no fault; give a text such as '429~1s x2, then cut@token:3'")
        self._sim.provider(NAME).directions.direct(script)

    def patch(self, *faults: str) -> None:
        """Faults from now on, as in scenes: `patch("500 30%")`; without arguments the provider is healthy."""
        self._sim.patch(NAME, faults)

    @property
    def requests(self) -> list[Asked]:
        """All requests so far, in order."""
        return [_asked(request) for request in self._seen]

    @property
    def records(self) -> list[Record]:
        """The outcome of each: fault, status, bytes, times."""
        return self._sim.ledger(NAME)

    def verdict(self, *, raised: bool = False, attempts: int = ATTEMPTS) -> Verdict:
        """What the code under test did wrong. `raised`: it reported that it has no answer, so a failed last attempt is
        not held against it; `attempts`: how often one question may be asked."""
        questions: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            if record.asked is not None:
                questions[record.asked].append(record)
        problems = [text for tried in questions.values() for text in _problems(tried, raised, attempts)]
        return Verdict(sum(map(len, questions.values())), tuple(problems))


@contextmanager
def llm_sim(seed: int = 7, pace: str = "instant", models: Sequence[str] = ()) -> Iterator[LLMSim]:
    """An LLMSim, with the process's environment variables pointing at it until the block ends."""
    with LLMSim(seed, pace, models) as sim:
        before = {name: os.environ.get(name) for name in sim.environment}
        os.environ.update(sim.environment)
        try:
            yield sim
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ.update({} if value is None else {name: value})


def _asked(request: SimRequest) -> Asked:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    try:
        body = msgspec.json.decode(request.body)
    except msgspec.DecodeError:
        body = None
    return Asked(request.method, request.path, headers, body)


def _decided(reply: Reply) -> Callable[[SimRequest], Said]:
    if callable(reply):
        return lambda request: _made(reply, request)
    fixed = _said(reply)
    return lambda _request: fixed


def _made(reply: Callable[[Asked], Answer], request: SimRequest) -> Said:
    """A function's answer. An exception in it becomes a refusal that no SDK retries, so that the client sees it."""
    try:
        return _said(reply(_asked(request)))
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {error}, at {where.filename}:{where.lineno}"
        raise BadAsk(f"llm_sim: the reply that a function was to give raised {what}") from error


def _said(answer: Answer) -> Said:
    if isinstance(answer, str):
        return said.text(answer)
    if isinstance(answer, ToolCall):
        return said.data(dict(answer.arguments), answer.name)
    try:
        return said.data(answer)
    except TypeError:
        what = f"{type(answer).__name__} is no answer"
        raise TypeError(f"{what}; give a text, a value for JSON, a ToolCall, or a function") from None


def _problems(tried: list[Record], raised: bool, most: int) -> list[str]:
    """What was wrong with the attempts to ask one question."""
    found = []
    for earlier, later in itertools.pairwise(tried):
        waited = later.arrived - (earlier.ended or earlier.arrived)
        if earlier.hint is not None and waited < earlier.hint - EARLY_S:
            found.append(f"asked again after {waited:.2f} s, although the provider had asked for {earlier.hint:g} s")
    if len(tried) > most:
        found.append(f"asked {len(tried)} times; {most} would have been enough")
    last = tried[-1]
    if not raised and last.harm is Harm.LOSS and last.status == 200 and last.end != GONE:
        found.append(f"took an answer for whole that was not: the last attempt met {last.fault!r}")
    if not raised and last.status is not None and last.status >= 400:
        found.append(f"went on without an answer: the last attempt met {last.status}")
    return found
