"""A Status for a terminal that is too low for all of it: what is well and quiet is left out first."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from oxllm.status import Status
from oxllm.table import GOOD, provider_state
from oxllm.words import count

FRAME = 8
"""Lines of a table beside its rows: verdict and head, two headings, and a blank line before each."""


def fitting(status: Status, lines: int | None) -> tuple[Status, str]:
    """What fits, and a line about what is not shown (empty when all is). What is not well stays, fit or not.

    `lines` None: as many as there are.
    """
    excess = 0 if lines is None else _rows(status) + FRAME - lines
    if excess <= 0:
        return status, ""
    excess += 1  # the line about it
    dropped: dict[str, set[str]] = {"disabled": set(), "providers": set(), "models": set()}
    for _, rows, kind, name in sorted(_well(status)):
        if excess <= 0:
            break
        dropped[kind].add(name)
        excess -= rows
    if not any(dropped.values()):
        return status, ""
    shown = msgspec.structs.replace(
        status,
        providers=tuple(p for p in status.providers if p.name not in dropped["providers"]),
        disabled=tuple(name for name in status.disabled if name not in dropped["disabled"]),
        models=tuple(m for m in status.models if m.name not in dropped["models"]),
    )
    absent = {"provider": len(dropped["providers"]) + len(dropped["disabled"]), "model": len(dropped["models"])}
    return shown, f"... not shown, since well: {', '.join(count(n, kind) for kind, n in absent.items() if n)}\n"


def _rows(status: Status) -> int:
    models = sum(max(1, len(model.targets)) for model in status.models)
    return len(status.providers) + len(status.disabled) + models


def _well(status: Status) -> Iterator[tuple[int, int, str, str]]:
    """What nobody has to look at: how much goes through it, how many lines it takes, its kind and name."""
    for name in status.disabled:
        yield -1, 1, "disabled", name
    for provider in status.providers:
        if provider_state(provider)[1] == GOOD:
            yield provider.attempts, 1, "providers", provider.name
    for model in status.models:
        if model.targets and all(target.state == "ready" for target in model.targets):
            yield model.requests, len(model.targets), "models", model.name
