"""The table on a terminal that is too low for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oxllm.cli.fitting import fitting
from oxllm.status import ModelStatus, ProviderStatus, Status, TargetStatus
from oxllm.table import table

STATES = ("closed", "open", "half-open", "offline")
STATUSES = st.builds(
    lambda states, off, models: Status(
        "1",
        1,
        1.0,
        providers=tuple(ProviderStatus(f"p{i}", state=s, attempts=i) for i, s in enumerate(states)),
        disabled=tuple(f"d{i}" for i in range(off)),
        models=tuple(
            ModelStatus(
                f"m{i}", requests=i, targets=tuple(TargetStatus(f"t{j}", state=s) for j, s in enumerate(targets))
            )
            for i, targets in enumerate(models)
        ),
    ),
    st.lists(st.sampled_from(STATES), max_size=40),
    st.integers(0, 3),
    st.lists(st.lists(st.sampled_from(["ready", "breaker open"]), max_size=4), min_size=1, max_size=12),
)


def test_what_is_not_well_stays_and_the_quiet_go_first() -> None:
    providers = tuple(ProviderStatus(f"p{i}", state="open" if i == 3 else "closed", attempts=i) for i in range(30))
    status = Status("1", 1, 1.0, providers=providers, models=(ModelStatus("m", targets=(TargetStatus("p3/x"),)),))
    shown, note = fitting(status, 24)
    names = [provider.name for provider in shown.providers]
    assert names == ["p3", *(f"p{i}" for i in range(16, 30))]
    assert note == "... not shown, since well: 15 providers, 1 model\n"
    assert len(table(shown, None).splitlines()) + 1 <= 24


def test_what_fits_is_shown_as_it_is() -> None:
    status = Status("1", 1, 1.0, providers=(ProviderStatus("a"),))
    assert fitting(status, 24) == fitting(status, None) == (status, "")


@given(STATUSES, st.integers(5, 80))
def test_it_fits_unless_nothing_is_left_that_is_well(status: Status, lines: int) -> None:
    shown, note = fitting(status, lines)
    length = len(table(shown, None).splitlines()) + bool(note)
    well = [p for p in shown.providers if p.state == "closed"]
    assert length <= lines or not (well or shown.disabled)
    bad = [p.name for p in status.providers if p.state != "closed"]
    assert [p.name for p in shown.providers if p.state != "closed"] == bad
    assert bool(note) == (shown != status)
