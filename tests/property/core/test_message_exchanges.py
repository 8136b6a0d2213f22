"""Whatever providers do, in whatever order, held back or hedged: a client gets one provider's whole message, or an end
that its SDK raises on."""

from __future__ import annotations

import json

from hypothesis import event, given
from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.core.protocols import messages
from tests.property.core.test_named_events import naive
from tests.support.by_hand import Drive
from tests.support.fated import FATES, HOLD_BACKS, MOVES, NAMES, Fate, Move, Provider, drive
from tests.support.told import END, OVERLOADED, PING, THINKING, TOOL, block, delta, named, reason, start, stop, text

INVALID = {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}}


def stream_of(name: str) -> bytes:
    """What this provider says."""
    return named(
        start(),
        block(0, **THINKING),
        PING,
        delta(0, type="thinking_delta", thinking=name),
        stop(0),
        block(1),
        text(f"I am {name}, ", 1),
        text("ä😀", 1),
        stop(1),
        block(2, **{**TOOL, "name": name}),
        delta(2, type="input_json_delta", partial_json="{}"),
        stop(2),
        reason("tool_use"),
        END,
    )


def heard(body: bytes) -> tuple[list[tuple[str, object]], list[dict[str, object]]]:
    """What is said in the events that a client gets, but pings; and the errors among them."""
    told = [json.loads(payload) for name, payload in naive(body) if name not in (b"ping", b"error")]
    errors = [json.loads(payload) for name, payload in naive(body) if name == b"error"]
    return [(one["type"], one.get("delta") or one.get("content_block")) for one in told], errors


WHOLE = {name: heard(stream_of(name))[0] for name in NAMES}
ERRORS = {"overload": named(OVERLOADED), "invalid": named(INVALID)}


@given(FATES, st.sampled_from(HOLD_BACKS), st.sampled_from([None, None, 1.0]), MOVES)
def test_one_providers_whole_message_or_an_end_that_is_raised(
    fates: list[Fate], hold_back: plans.HoldBack, hedge_after: float | None, moves: list[Move]
) -> None:
    providers = [Provider(stream_of(name), fate, ERRORS) for name, fate in zip(NAMES, fates, strict=False)]
    check(drive(messages.PROTOCOL, providers, hold_back, hedge_after, moves))


def check(driven: Drive) -> None:
    client = driven.client
    event(f"{client.over} {client.status}")
    if client.over == "answer":
        error = json.loads(client.body)
        assert (error["type"], client.status >= 400) == ("error", True)
        return
    said, errors = heard(client.body)
    if client.over == "end":
        assert errors == []
        assert said in WHOLE.values()
    else:
        assert len(errors) == 1
        assert naive(client.body)[-1][0] == b"error"
        assert any(whole[: len(said)] == said != whole for whole in WHOLE.values())
    if driven.exchange.winner is not None and said:
        name = driven.exchange.winner.candidate.state.provider.name
        assert WHOLE[name][: len(said)] == said


def test_what_is_checked_can_fail() -> None:
    """Two halves of two answers are no answer."""
    spliced = WHOLE["alpha"][:7] + WHOLE["beta"][7:]
    assert spliced not in WHOLE.values()
