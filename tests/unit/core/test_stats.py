"""Counters: buckets of powers of two, quantiles read off them, sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.outcome import Cause
from oxllm.core.routing.stats import BOUNDS, HISTOGRAM_BUCKETS, Counters, Histogram, RequestCounters

TIMES = st.floats(0, 5000, allow_subnormal=False)


def observed(*times: float) -> Histogram:
    histogram = Histogram()
    for time in times:
        histogram.observe(time)
    return histogram


def test_the_bounds_go_from_a_millisecond_past_the_longest_timeout() -> None:
    assert BOUNDS[0] == pytest.approx(0.001, rel=0.03)
    assert BOUNDS[-2] == 1024.0
    assert len(BOUNDS) == HISTOGRAM_BUCKETS


@given(TIMES)
def test_a_time_is_in_the_bucket_of_its_bounds(time: float) -> None:
    number = observed(time).counts.index(1)
    assert time <= BOUNDS[number]
    assert number == 0 or time >= BOUNDS[number - 1]


@given(st.lists(TIMES, min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_right_within_its_bucket(times: list[float], share: float) -> None:
    found = observed(*times).quantile(share)
    rank = max(1, -(-share * len(times) // 1))
    true = sorted(times)[int(rank) - 1]
    assert found is not None
    assert found <= max(BOUNDS[0], 2 * true, 0)
    assert true >= BOUNDS[-2] or true <= max(BOUNDS[0], 2 * found)


def test_times_of_no_length_are_counted_along() -> None:
    histogram = Histogram()
    histogram.observe(0.5, 3)
    histogram.observe(1e9, 0)
    counts = histogram.counts
    assert (counts[0], counts[-1], sum(counts), histogram.sum) == (3, 1, 5, 0.5 + 1e9)


def test_nothing_observed_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None


def test_histograms_add_up() -> None:
    both = observed(0.5, 3.0)
    both.add(observed(0.6))
    assert both.counts == observed(0.5, 0.6, 3.0).counts
    assert both.count == 3
    assert both.sum == pytest.approx(4.1)


def test_counters_add_up_and_leave_what_was_added_alone() -> None:
    one, other = Counters(), Counters()
    for counters, cause in ((one, Cause.NETWORK), (other, Cause.NETWORK), (other, Cause.CLIENT)):
        counters.attempts += 1
        counters.failed(cause)
        counters.tokens(3, 4, 2)
        counters.ttft.observe(1.0)
    one.add(other)
    assert one.failures == {Cause.NETWORK: 2, Cause.CLIENT: 1}
    assert (one.attempts, one.prompt_tokens, one.completion_tokens, one.cached_tokens) == (3, 9, 12, 6)
    assert (one.ttft.count, one.under_way) == (3, 0)
    one.failed(Cause.CLIENT)
    one.ttft.observe(1.0)
    assert (other.attempts, other.failures, other.ttft.count) == (2, {Cause.NETWORK: 1, Cause.CLIENT: 1}, 2)


def test_requests_are_counted_from_their_begin_to_their_end() -> None:
    counters = RequestCounters()
    for _ in range(3):
        counters.begin()
    counters.end(None)
    counters.end(None, rescued=True)
    assert (counters.requests, counters.in_flight, counters.rescued, counters.failures) == (3, 1, 1, {})
    counters.end(Cause.CLIENT)
    assert counters.failures == {Cause.CLIENT: 1}
