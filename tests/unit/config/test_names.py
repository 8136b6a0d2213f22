"""What the name of a model tells, to whoever asks."""

from __future__ import annotations

import pytest

from oxllm.config.names import makes_vectors


@pytest.mark.parametrize(
    ("names", "some"),
    [
        (("text-embedding-3-small",), True),
        (("gpt-4o", "org/bge-m3"), True),
        (("gpt-4o", "large5", "e5x"), False),
        ((), False),
    ],
)
def test_the_name_of_a_model_tells_whether_it_makes_vectors(names: tuple[str, ...], some: bool) -> None:
    assert makes_vectors(*names) is some
