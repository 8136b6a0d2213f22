"""How many examples a property gets that plays whole worlds, and so takes its time."""

from __future__ import annotations

from hypothesis import settings

CI = 60
"""Examples of a usual property in the profile `ci`."""


def examples(usual: int, nightly: int | None = None) -> settings:
    """`usual` of them in CI, a quarter in the profile `quick`, and at night as many as any other property.

    `nightly` is for those that would take over ten minutes of one core then: say beside it what takes so long.
    """
    many = settings().max_examples
    if many <= CI:
        return settings(max_examples=max(1, usual * many // CI))
    return settings(max_examples=nightly or max(usual, many))
