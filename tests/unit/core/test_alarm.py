"""When the clocks of a request want to be looked at."""

from __future__ import annotations

from math import inf

from oxllm.core.request.alarm import Alarm


def test_it_is_set_to_the_earliest_and_never_put_off() -> None:
    alarm = Alarm()
    assert alarm.at == inf
    for when in (7.0, 9.0, 5.0, 6.0):
        alarm.by(when)
    assert alarm.at == 5.0
