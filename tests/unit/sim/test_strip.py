"""What `oxllm sim` shows while it runs, and what it sums up."""

from __future__ import annotations

import re

import pytest

from oxllm.sim.provider.ledger import RECORD_BYTES, Harm, Ledger, Record
from oxllm.sim.serve import strip
from oxllm.sim.serve.live import Live
from oxllm.sim.serve.ports import State
from oxllm.sim.testing import scenario


def record(
    fault: str | None = None, status: int | None = 200, end: str | None = "complete", harm: Harm = Harm.LOSS
) -> Record:
    made = Record("alpha", 1, "1", 0.0, 1, "POST", "/v1/chat/completions")
    made.harm = Harm.NONE if fault is None else harm
    made.fault, made.status, made.end = fault, status, end
    return made


@pytest.mark.parametrize(
    ("made", "mark"),
    [
        (record(), "."),
        (record("429", 429), "4"),
        (record("502-html", 502), "5"),
        (record("silent-cut@token:3"), "x"),
        (record("rst", None, "rst"), "x"),
        (record(None, 200, "gone"), "-"),
        (record("comments", harm=Harm.NONE), "."),
        (record("slow", harm=Harm.DELAY), "x"),
        (record("stall", 200, None), "_"),
        (record("429", 429, None), "4"),
    ],
)
def test_one_character_tells_what_became_of_a_request(made: Record, mark: str) -> None:
    assert strip.mark(made) == mark


@pytest.mark.parametrize("width", [20, 40, 79, 200])
@pytest.mark.parametrize("colour", [True, False])
def test_a_row_is_never_wider_than_the_terminal(width: int, colour: bool) -> None:
    glance = strip.Glance("a-provider-with-a-very-long-name", "black hole 117s", True, 123.4, 1.0, ".45x_" * 60)
    row = glance.row(len(glance.name), width, colour)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", row)
    assert len(plain) <= width
    if width >= 79:
        assert plain.endswith(".45x_")
        assert len(plain) == width


def test_the_legend_and_the_heads_fit_a_terminal_of_eighty() -> None:
    assert max(len(strip.LEGEND), len(strip.head(100))) < 80


async def test_a_strip_draws_over_the_one_before_whatever_the_terminal_wrote_there() -> None:
    live = Live(scenario("alpha", "beta", faults={"alpha": ["500"]}))
    await live.start()
    try:
        first, again = strip.draw(live, True), strip.draw(live, False)
    finally:
        await live.stop()
    assert first.count("\n") == 3
    assert again.startswith("\r\x1b[3A")
    plain = re.sub(r"\x1b\[[0-9;]*[mK]", "", first).splitlines()
    assert re.match(r"alpha faults +0\.0 +0%", plain[1])
    assert re.match(r"beta +healthy", plain[2])


async def test_a_port_that_is_dark_says_for_how_long() -> None:
    live = Live(scenario("alpha"))
    await live.start()
    try:
        live.providers["alpha"].patch(live.now, faults=[], ttl=9.0)
        live.ports["alpha"].state = State.REFUSING
        (glance,) = strip.glance(live)
        assert (glance.state, glance.dark) == ("refusing 9s", True)
        live.ports["alpha"].state = State.OPEN
        (glance,) = strip.glance(live)
        assert (glance.state, glance.dark) == ("patched", False)
    finally:
        await live.stop()


async def test_the_summary_counts_what_struck_the_most_frequent_first() -> None:
    live = Live(scenario("alpha"))
    ledger = live.providers["alpha"].ledger
    assert list(strip.summary(live)) == ["alpha: 0 requests, 0 struck"]
    for made in (record("500", 500), record("429~2s", 429), record("500", 500), record(), record(None, 200, "gone")):
        ledger.add(made)
        ledger.request()
    assert list(strip.summary(live)) == ["alpha: 5 requests, 3 struck: 500 2, 429~2s 1"]


async def test_who_asks_wrongly_is_refused_and_was_not_struck() -> None:
    live = Live(scenario("alpha"))
    await live.start()
    try:
        ledger = live.providers["alpha"].ledger
        over = record(None, 429)
        over.over = over.why = "requests"
        for made in (record(None, 404), record("500", 500), record(None, 400), record(None, 404), over):
            ledger.add(made)
            ledger.request()
        assert list(strip.summary(live)) == ["alpha: 5 requests, 2 struck: 500 1, requests 1; 3 refused: 404 2, 400 1"]
        (glance,) = strip.glance(live)
        assert (glance.share, glance.marks) == (0.4, "45444")
    finally:
        await live.stop()


async def test_a_connection_that_was_struck_is_told_as_one() -> None:
    live = Live(scenario("alpha"))
    live.ports["alpha"] = type("Port", (), {"state": State.OPEN})()
    ledger = live.providers["alpha"].ledger
    ledger.add(Record("alpha", 0, "connection 3", 1.0, 3, "", "", fault="slow-accept", harm=Harm.DELAY))
    ledger.add(record("500", 500))
    ledger.request()
    assert list(strip.Plain().lines(live)) == [
        "     1.0s alpha connection 3: slow-accept",
        "     0.0s alpha request 1: 500",
    ]
    assert list(strip.summary(live)) == ["alpha: 1 request, 2 struck: slow-accept 1, 500 1"]


async def test_plain_lines_tell_each_fault_once_also_when_old_records_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("oxllm.sim.provider.ledger.KEEP_BYTES", 3 * (RECORD_BYTES + 30))
    live = Live(scenario("alpha"))
    live.ports["alpha"] = type("Port", (), {"state": State.OPEN})()
    ledger = live.providers["alpha"].ledger = Ledger()
    plain, told = strip.Plain(), list[str]()
    live.ports["alpha"].state = State.REFUSING
    assert next(plain.lines(live)).endswith("s alpha port is now refusing")
    for number in range(9):
        made = record("500", 500)
        made.key = f"{number}"
        ledger.add(made)
        told += plain.lines(live)
    assert told == [f"     0.0s alpha request {number}: 500" for number in range(9)]
    assert list(plain.lines(live)) == []
