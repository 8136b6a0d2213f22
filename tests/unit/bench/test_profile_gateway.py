"""The profiler sees the gateway at work."""

from __future__ import annotations

import pytest

from tests.bench.profile_gateway import profile


@pytest.mark.slow
def test_it_is_seen_where_a_request_is_sent() -> None:
    window, samples = profile("requests", 1.0)
    assert window.done > 0
    assert any(name.endswith("Stream._send") for name, _ in samples["own"])
