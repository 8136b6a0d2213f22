"""What this machine lacks is not held against a provider."""

from __future__ import annotations

import errno
import os

import pytest

from tests.support.house import House, plan_of


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.EACCES, errno.ENOBUFS])
def test_a_connection_that_was_not_possible_from_here_opens_no_breaker_and_is_told_once_a_minute(number: int) -> None:
    with House(plan_of("alpha")) as house:
        house.dial_error = OSError(number, os.strerror(number))
        for _ in range(10):
            client = house.chat()
            house.advance(0.1)
            assert client.response.status == 502
            assert "retry-after" in client.response.headers
        assert house.generation.router.providers["alpha"].breaker.state(house.loop.time()).value == "closed"
        assert house.log_text().count("providers cannot be reached from here") == 1
        house.dial_error = None
        client = house.chat()
        house.advance(0.1)
        assert client.response.status == 200
        assert 'oxllm_request_failures_total{model="smart",cause="gateway"} 10' in house.get("/metrics").text
