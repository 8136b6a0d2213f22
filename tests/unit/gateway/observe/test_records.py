"""The ring of the last requests forgets the oldest, and packing it changes nothing that a reader sees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip
from oxllm.gateway.observe.records import Record, Records


def record(number: int) -> Record:
    step = Step(1, "alpha/big-1", 0.1, 0.25 + number, None, "HTTP 502")
    skips = {"beta/big-1": Skip.COOLING}
    return Record(f"id-{number}", 1e9, "smart", True, 200, "a", "m", 2, 0.5, 1.5, 9, None, None, (step,), skips)


@given(st.lists(st.booleans(), max_size=60))
def test_packed_or_not_it_holds_the_last_ones_in_order(packs: list[bool]) -> None:
    records, model = Records(maxlen=7), list[Record]()
    for number, pack in enumerate(packs):
        records.append(record(number))
        model = [*model, record(number)][-7:]
        if pack:
            records.pack()
        assert list(records) == model
        assert list(reversed(records)) == model[::-1]
