"""Names for requests that have none."""

from __future__ import annotations

import re
from random import Random

from oxllm.gateway.client.request_ids import BATCH, RequestIds


class Zeros(Random):
    """No luck at all."""

    def getrandbits(self, k: int, /) -> int:
        return 0


def test_no_two_are_the_same_and_all_bits_are_random() -> None:
    ids = RequestIds(Random(1))
    found = [ids.new() for _ in range(3 * BATCH)]
    assert all(re.fullmatch(r"oxllm-[0-9a-f]{16}", name) for name in found)
    numbers = {int(name[6:], 16) for name in found}
    assert len(numbers) == 3 * BATCH
    assert all(0 < sum(number >> bit & 1 for number in numbers) < 3 * BATCH for bit in range(64))


def test_small_numbers_have_all_their_digits() -> None:
    ids = RequestIds(Zeros())
    assert {ids.new() for _ in range(BATCH + 1)} == {"oxllm-0000000000000000"}
