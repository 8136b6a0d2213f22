"""Whatever providers do, in whatever order, held back or hedged: a client gets one provider's whole message, or an end
that its SDK raises on."""

from __future__ import annotations

import json

from hypothesis import event, given
from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.core.attempt import Attempt
from oxllm.core.outcome import Failure
from oxllm.core.protocols import messages
from tests.property.core.test_named_events import naive
from tests.support.by_hand import Drive, make_plan
from tests.support.told import END, OVERLOADED, PING, THINKING, TOOL, block, delta, named, reason, start, stop, text

NAMES = ("alpha", "beta", "gamma")
WAYS = ("fin", "rst", "clean", "stall", "garbage", "overload", "invalid")
HOLD_BACKS = (plans.HoldBack(), plans.HoldBack(tokens=3), plans.HoldBack(seconds=0.8), plans.HoldBack(full=True))
FAST = plans.Timeouts(connect=3.0, first_byte=8.0, answer=12.0, idle=6.0)
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
Fate = tuple[int, str]


class Provider:
    """Plays its stream up to a byte, and ends it in some way."""

    def __init__(self, name: str, fate: Fate) -> None:
        self.stream = stream_of(name)
        self.cut, self.way = min(fate[0], len(self.stream)), fate[1]
        self.at = 0

    def play(self, drive: Drive, attempt: Attempt, size: int) -> None:
        """The next bytes, or its end."""
        name = attempt.candidate.state.provider.name
        if attempt.status == 0:
            drive.head(name)
        elif self.at < self.cut:
            part = self.stream[self.at : min(self.at + size, self.cut)]
            self.at += len(part)
            drive.data(name, part)
        elif self.way != "stall":
            self.at = self.cut = 0
            self._end(drive, name)

    def _end(self, drive: Drive, name: str) -> None:
        said = {"garbage": b"\n\ndata: {oh no\n\n", "overload": b"\n\n" + named(OVERLOADED)}
        if self.way in ("fin", "rst"):
            drive.fail(name, Failure.EOF if self.way == "fin" else Failure.RESET, early=False)
            return
        last = said.get(self.way, b"\n\n" + named(INVALID) if self.way == "invalid" else b"")
        if last:
            drive.data(name, last)
        if drive[name].phase.name != "ENDED":
            drive.end(name)


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.sampled_from(WAYS)), min_size=1, max_size=3),
    st.sampled_from(HOLD_BACKS),
    st.sampled_from([None, None, 1.0]),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, 7, 90, 400, 4000])), max_size=60),
)
def test_one_providers_whole_message_or_an_end_that_is_raised(
    fates: list[Fate], hold_back: plans.HoldBack, hedge_after: float | None, moves: list[tuple[int, int]]
) -> None:
    targets = [plans.Target(name, "m", tier, timeouts=FAST) for tier, name in enumerate(NAMES[: len(fates)], 1)]
    plan = make_plan(*targets, hold_back=hold_back, hedge_after=hedge_after, request=60.0)
    drive = Drive(plan=plan, protocol=messages.PROTOCOL, stream=True).start()
    providers = {name: Provider(name, fate) for name, fate in zip(NAMES, fates, strict=False)}
    for choice, size in [*moves, *[(0, 4000)] * 40]:
        running = [attempt for attempt in drive.attempts if attempt.phase.name != "ENDED"]
        if choice > 6 or not running:
            drive.pass_time(choice / 2)
        else:
            attempt = running[choice % len(running)]
            providers[attempt.candidate.state.provider.name].play(drive, attempt, size)
    drive.pass_time(100)
    assert drive.over
    check(drive)


def check(drive: Drive) -> None:
    client = drive.client
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
    if drive.exchange.winner is not None and said:
        name = drive.exchange.winner.candidate.state.provider.name
        assert WHOLE[name][: len(said)] == said


def test_what_is_checked_can_fail() -> None:
    """Two halves of two answers are no answer."""
    spliced = WHOLE["alpha"][:7] + WHOLE["beta"][7:]
    assert spliced not in WHOLE.values()
