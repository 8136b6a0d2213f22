"""What somebody has decided beforehand about the next requests of a provider: their faults, and their answers.

429 x2, then cut@token:3        two requests get a 429, the third is cut, and those after it are healthy
"""

from __future__ import annotations

import re
import tomllib
from collections import deque
from collections.abc import Callable

from oxllm.config.files import parse_toml
from oxllm.config.problem import BadValueError
from oxllm.sim.faults.base import Fault, Layer
from oxllm.sim.provider import said
from oxllm.sim.provider.request import SimRequest
from oxllm.sim.provider.said import Said
from oxllm.sim.script import grammar
from oxllm.sim.script.grammar import Measure

Reply = Callable[[SimRequest], Said]
HEALTHY = "ok"
"""Stands for no fault."""
_THEN = re.compile(r"\s*,\s*(?:then\s+)?|\s+then\s+")


class Directions:
    """Directions for one provider. Requests that ask nothing (lists of models) use none of them up, and attempts that
    fail use up no answer."""

    def __init__(self) -> None:
        self._faults: deque[Fault | None] = deque()
        self._replies: deque[Reply] = deque()

    def direct(self, text: str) -> None:
        """Faults for the next requests, in their order, after those that were directed before. Raises GrammarError."""
        self._faults.extend(fault for part in _THEN.split(text.strip()) for fault in _faults(part))

    def reply(self, reply: Reply) -> None:
        """An answer for the next request, after those that were given before. The last one stays."""
        self._replies.append(reply)

    def fault(self) -> Fault | None:
        """Of the request that has just come; None = a healthy answer."""
        return self._faults.popleft() if self._faults else None

    def said(self, request: SimRequest) -> Said | None:
        """The answer to it, if it is not left to chance. Raises BadAsk if there should be one and is none."""
        return self._replies[0](request) if self._replies else None

    def given(self) -> None:
        """It was given, and not kept from the one that asked: the next request gets the next answer."""
        if len(self._replies) > 1:
            self._replies.popleft()


def load(text: str) -> Directions:
    """A script file: TOML with `fault`, as for `direct`, and `reply`, a list of texts, tables (which are sent as JSON),
    and tables with `tool` and `arguments`. Raises ValueError."""
    try:
        data = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from None
    except BadValueError as bad:
        raise ValueError(bad.args[0]) from None
    directions, unknown = Directions(), sorted(set(data) - {"fault", "reply"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; write fault and reply")
    fault = data.get("fault", "")
    if not isinstance(fault, str):
        raise ValueError("fault: write one text for all of them, such as '429 x2, then cut@token:3'")
    if fault:
        directions.direct(fault)
    replies = data.get("reply", [])
    for reply in replies if isinstance(replies, list) else [replies]:
        directions.reply(_constant(_said(reply)))
    return directions


def _constant(answer: Said) -> Reply:
    return lambda _request: answer


def _said(reply: object) -> Said:
    if isinstance(reply, str):
        return said.text(reply)
    if isinstance(reply, dict) and "tool" in reply:
        return said.data(reply.get("arguments", {}), str(reply["tool"]))
    return said.data(reply)


def _faults(part: str) -> list[Fault | None]:
    """`429 x2` as two of it, `429` as one, `ok x3` as three healthy answers. Raises GrammarError."""
    name, _, dose = part.partition(" ")
    dosed = grammar.parse(f"500 {dose}" if name == HEALTHY else part)
    if dosed.dose.measure not in (Measure.ALWAYS, Measure.NEXT):
        raise grammar.GrammarError(part, len(name) + 1, "write how many requests, such as x2, or nothing for one")
    if dosed.fault.strikes_at() is not Layer.RESPONSE:
        reason = f"{dosed.fault.text!r} strikes no request; write rst or fin, which close the connection of one"
        raise grammar.GrammarError(part, 0, reason)
    count = int(dosed.dose.value) if dosed.dose.measure is Measure.NEXT else 1
    return [None if name == HEALTHY else dosed.fault] * count
