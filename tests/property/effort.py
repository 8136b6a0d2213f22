"""How many examples a property gets that plays whole worlds, and so takes its time."""

from __future__ import annotations

from hypothesis import settings

CI = 60
"""Examples of a usual property in the profile `ci`."""


def examples(usual: int, nightly: int | None = None) -> settings:
    """`usual` of them in CI, and at night as many as any other property; or `nightly`, where those would take over ten
    minutes of one core: say beside it what takes so long."""
    many = settings().max_examples
    return settings(max_examples=usual if many <= CI else nightly or max(usual, many))
