"""Scripted faults and answers for the next requests at a provider.

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
"""A healthy answer, in place of a fault."""
_THEN = re.compile(r"\s*,\s*(?:then\s+)?|\s+then\s+")


class Directions:
    """Directions for one provider. Requests that ask nothing (lists of models) use up none of them, and failed attempts
    use up no answer."""

    def __init__(self) -> None:
        self._faults: deque[Fault | None] = deque()
        self._replies: deque[Reply] = deque()

    def direct(self, text: str) -> None:
        """Queue faults for the next requests, in order. Raises GrammarError."""
        self._faults.extend(fault for part in _THEN.split(text.strip()) for fault in _faults(part))

    def reply(self, reply: Reply) -> None:
        """Queue an answer. The last one is repeated."""
        self._replies.append(reply)

    def fault(self) -> Fault | None:
        """Take the fault for the request that has just arrived; None = a healthy answer."""
        return self._faults.popleft() if self._faults else None

    def said(self, request: SimRequest) -> Said | None:
        """The scripted answer to the request, if any. Raises BadAsk if it cannot be made."""
        return self._replies[0](request) if self._replies else None

    def given(self) -> None:
        """The answer was not lost to a fault: the next request gets the next one."""
        if len(self._replies) > 1:
            self._replies.popleft()


def load(text: str) -> Directions:
    """Parse a script file: TOML with `fault`, as for `direct`, and `reply`, a list of texts, tables (sent as JSON), and
    tables with `tool` and `arguments`. Raises ValueError."""
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
    """`429 x2` means it twice, `429` once, `ok x3` three healthy answers. Raises GrammarError."""
    name, _, dose = part.partition(" ")
    dosed = grammar.parse(f"500 {dose}" if name == HEALTHY else part)
    if dosed.dose.measure not in (Measure.ALWAYS, Measure.NEXT):
        raise grammar.GrammarError(part, len(name) + 1, "write how many requests, such as x2, or nothing for one")
    if dosed.fault.strikes_at() is not Layer.RESPONSE:
        reason = f"{dosed.fault.text!r} strikes no request; write rst or fin, which close the connection of one"
        raise grammar.GrammarError(part, 0, reason)
    count = int(dosed.dose.value) if dosed.dose.measure is Measure.NEXT else 1
    return [None if name == HEALTHY else dosed.fault] * count
