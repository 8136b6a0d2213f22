"""Whatever providers do, in whatever order, held back or hedged: a client of the Responses API gets one provider's
whole answer, or an end that its SDK raises on."""

from __future__ import annotations

import json

from hypothesis import event as note
from hypothesis import given
from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.core.protocols import responses
from tests.support.by_hand import Drive
from tests.support.fated import FATES, HOLD_BACKS, MOVES, NAMES, Fate, Move, Provider, drive
from tests.support.responses_api import Json, answer, event, parse, response, sse

ERRORS = {
    "overload": sse(event("response.failed", response=response("failed", error={"code": "server_error"}))),
    "invalid": sse(event("error", code="invalid_prompt", message="no")),
}
STREAMS = {name: sse(*answer(f"I am {name}, ", "ä😀", thinks=True)) for name in NAMES}
WHOLE = {name: parse(stream) for name, stream in STREAMS.items()}


@given(FATES, st.sampled_from(HOLD_BACKS), st.sampled_from([None, None, 1.0]), MOVES)
def test_one_provider_s_whole_answer_or_an_end_that_is_raised(
    fates: list[Fate], hold_back: plans.HoldBack, hedge_after: float | None, moves: list[Move]
) -> None:
    providers = [Provider(STREAMS[name], fate, ERRORS) for name, fate in zip(NAMES, fates, strict=False)]
    check(drive(responses.PROTOCOL, providers, hold_back, hedge_after, moves))


def heard(body: bytes) -> list[Json]:
    """The events that a client gets, but pings."""
    return parse(body.replace(b": ping\n", b""))


def check(driven: Drive) -> None:
    client = driven.client
    note(f"{client.over} {client.status}")
    if client.over == "answer":
        assert client.status >= 400
        assert json.loads(client.body)["error"]
        return
    assert client.over == "end", "the chunks always end properly"
    said = heard(client.body)
    if said in WHOLE.values():
        assert driven.exchange.reply.error is None
        return
    *told, last = said
    assert last["type"] == "response.failed"
    if told and told[-1]["type"] == "error":  # the provider's, which few clients look for
        told.pop()
    assert any(whole[: len(told)] == told for whole in WHOLE.values())
    assert driven.exchange.reply.error is not None


def test_what_is_checked_can_fail() -> None:
    """Two halves of two answers are no answer."""
    spliced = WHOLE["alpha"][:7] + WHOLE["beta"][7:]
    assert spliced not in WHOLE.values()
