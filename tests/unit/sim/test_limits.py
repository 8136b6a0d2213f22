"""Rate limits that tell the truth."""

from __future__ import annotations

import pytest

from oxllm.sim.provider import limits
from oxllm.sim.provider.limits import BadLimit, Limit, Limits, Meter, Verdict


def test_limits_are_read() -> None:
    assert limits.parse("60 rpm, 40k tpm") == Limits(Limit(60, 60.0), Limit(40_000, 60.0))
    for text in ("60", "60 rpm, 5 rps", "0 rpm", "k rpm"):
        with pytest.raises(BadLimit):
            limits.parse(text)


def test_a_request_too_many_is_told_when_to_come_back() -> None:
    meter = Meter(limits.parse("2 rpm"))
    assert [meter.admit(1, now).dimension for now in (0.0, 10.0)] == [None, None]
    refused = meter.admit(1, 25.0)
    assert (refused.dimension, refused.retry_after) == ("requests", 35.0)
    assert meter.admit(1, 60.0) == Verdict()


def test_headers_count_what_is_left_and_when_all_is_back() -> None:
    meter = Meter(limits.parse("3 rpm, 100 tpm"))
    meter.admit(40, 0.0)
    meter.admit(40, 20.0)
    levels = meter.levels(30.0)
    assert (levels["requests"].remaining, levels["tokens"].remaining) == (1, 20)
    assert levels["tokens"].reset == 50.0


def test_a_request_larger_than_the_window_can_never_fit() -> None:
    assert Meter(limits.parse("100 tpm")).admit(101, 0.0) == Verdict("tokens", never=True)
    assert Meter(limits.parse("100 tpm")).admit(100, 0.0) == Verdict()
