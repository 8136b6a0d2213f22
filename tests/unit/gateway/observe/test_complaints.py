"""What the loop complains of: what the machine lacks is said once a minute, and is no bug of ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

from oxllm.gateway.observe.seldom import EVERY_S
from oxllm.gateway.shortage import SHORTAGES
from tests.support.house import House, plan_of


@pytest.fixture
def house() -> Iterator[House]:
    with House(plan_of("alpha")) as house:
        yield house


def complain(house: House, number: int) -> None:
    error = OSError(number, os.strerror(number))
    house.loop.call_exception_handler({"message": "accept() is out of a system resource", "exception": error})


@pytest.mark.parametrize("number", sorted(SHORTAGES), ids=errno.errorcode.get)
def test_whatever_the_machine_lacks_is_said_once_a_minute(house: House, number: int) -> None:
    for _ in range(3):
        complain(house, number)
    assert house.log_text().count(f"warning: {SHORTAGES[number]}, new clients wait") == 1
    house.advance(EVERY_S)
    complain(house, number)
    assert house.log_text().count("new clients wait") == 2
    assert house.gateway.journal.internal_errors == 0


def test_the_limit_to_raise_is_named(house: House) -> None:
    complain(house, errno.EMFILE)
    assert house.log_text().endswith("too many open files, new clients wait; raise the limit (ulimit -n)\n")


def test_any_other_error_is_a_bug_each_time() -> None:
    with House(plan_of("alpha"), crashes=True) as house:
        complain(house, errno.EBADF)
        complain(house, errno.EBADF)
        assert house.gateway.journal.internal_errors == 2
