"""Who made an answer is known of the answers that were used last, in little memory."""

from __future__ import annotations

import tracemalloc

from oxllm.core.routing.owners import OWNERS_MAX, Owners

ALPHA, BETA = ("alpha", "https://alpha.example/v1"), ("beta", "https://beta.example/v1")


def test_the_owner_of_an_answer_is_who_gave_it_last() -> None:
    owners = Owners()
    assert owners.owner("resp_1") is None
    owners.remember("resp_1", ALPHA)
    owners.remember("resp_2", BETA)
    assert (owners.owner("resp_1"), owners.owner("resp_2"), owners.owner("resp_3")) == (ALPHA, BETA, None)
    owners.remember("resp_1", BETA)
    assert (owners.owner("resp_1"), len(owners)) == (BETA, 2)


def test_the_answer_that_was_not_used_for_longest_is_forgotten_first() -> None:
    owners = Owners()
    for number in range(OWNERS_MAX):
        owners.remember(f"resp_{number}", ALPHA)
    assert owners.owner("resp_0") is ALPHA  # a use
    owners.remember("resp_2", BETA)  # another
    owners.remember("one more", ALPHA)
    assert (owners.owner("resp_0"), owners.owner("resp_1"), owners.owner("resp_2")) == (ALPHA, None, BETA)
    assert len(owners) == OWNERS_MAX


def test_a_memory_that_was_packed_is_the_same_memory_in_its_order() -> None:
    owners = Owners()
    owners.pack()
    assert len(owners) == 0
    for number in range(OWNERS_MAX):
        owners.remember(f"resp_{number}", (ALPHA, BETA)[number % 2])
    owners.pack()
    owners.pack()
    owners.remember("one more", ALPHA)
    assert len(owners) == OWNERS_MAX
    assert (owners.owner("resp_0"), owners.owner("resp_1"), owners.owner("resp_2")) == (None, BETA, ALPHA)


def test_a_full_memory_is_small_however_long_the_ids_are_and_stays_so() -> None:
    tracemalloc.start()
    try:
        owners = Owners()
        for number in range(5 * OWNERS_MAX):
            owners.remember(f"resp_{number:0500}", ALPHA)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(owners) == OWNERS_MAX
    assert size < 500_000


def test_the_model_of_an_answer_is_remembered_with_it_and_asking_for_it_is_no_use_of_it() -> None:
    owners = Owners()
    assert owners.model("resp_1") == ""
    owners.remember("resp_0", ALPHA, "smart")
    for number in range(1, OWNERS_MAX):
        owners.remember(f"resp_{number}", BETA, "other")
    owners.pack()
    assert (owners.model("resp_0"), owners.model("resp_1")) == ("smart", "other")
    owners.remember("one more", ALPHA)
    assert (owners.model("resp_0"), owners.model("one more")) == ("", "")
