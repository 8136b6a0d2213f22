"""What has ended is told as it was; the ring of the last ones forgets the oldest, and packing it changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.outcome import SUCCESS
from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip
from oxllm.gateway.observe.ended import Ended
from oxllm.gateway.observe.record import Record
from oxllm.gateway.observe.records import Records
from tests.support.by_hand import WALL, Drive

ANSWER = (
    b'{"model":"big-1","choices":[{"index":0,"message":{"content":"hello"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3}}'
)


def ended(took: float) -> Ended:
    """One that was served by the second target that it asked."""
    drive = Drive("alpha", "beta", stream=False).start()
    drive.answer("alpha", b"{}", 503)
    drive.now += 2.0
    drive.answer("beta", ANSWER)
    return Ended(drive.exchange, drive.now - took, WALL, drive.now)


ENDED = [ended(2.0 + number) for number in range(60)]


def test_a_request_that_has_ended_is_told_with_all_that_became_of_it() -> None:
    steps = (
        Step(1, "alpha/big-1", 0.0, 0.0, None, "HTTP 503", status=503),
        Step(2, "beta/big-1", 0.0, 2.0, 2.0, SUCCESS.reason),
    )
    assert ended(2.5).record() == Record(
        id="oxllm-1",
        time=WALL,
        model="smart",
        stream=False,
        status=200,
        provider="beta",
        upstream_model="big-1",
        attempts=2,
        first_content=2.5,
        total=2.5,
        prompt_tokens=7,
        completion_tokens=3,
        error=None,
        steps=steps,
        skips={"alpha/big-1": Skip.TRIED},
        protocol="chat",
        cached_tokens=0,
        response_model="big-1",
        finish_reasons=("stop",),
    )


def test_one_that_nobody_has_answered_names_nobody() -> None:
    drive = Drive("alpha").start().gone()
    record = Ended(drive.exchange, drive.now, WALL, drive.now).record()
    assert (record.provider, record.upstream_model, record.first_content, record.response_model) == (None,) * 4
    assert (record.prompt_tokens, record.completion_tokens, record.cached_tokens) == (None,) * 3
    assert (record.status, record.finish_reasons, record.stream) == (0, (), True)


@given(st.lists(st.booleans(), max_size=len(ENDED)))
def test_packed_or_not_it_holds_the_last_ones_in_order(packs: list[bool]) -> None:
    records, model = Records(maxlen=7), list[Record]()
    for one, pack in zip(ENDED, packs, strict=False):
        records.append(one)
        model = [*model, one.record()][-7:]
        if pack:
            records.pack()
        assert list(records) == model
        assert list(reversed(records)) == model[::-1]
