"""Shortens a Status for a terminal with too few lines: what is healthy and has the least traffic goes first."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from oxllm.grid import GOOD
from oxllm.status import Status
from oxllm.table import provider_state
from oxllm.words import count

FRAME = 8
"""Lines of the table that are not rows: verdict and head, two headings, and a blank line before each."""


def fitting(status: Status, lines: int | None) -> tuple[Status, str]:
    """What fits, and a line about what is not shown (empty if all is). Unhealthy rows always stay.

    `lines`: None = unlimited.
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
    """Healthy providers and models, and disabled ones: traffic, lines needed, kind and name of each."""
    for name in status.disabled:
        yield -1, 1, "disabled", name
    for provider in status.providers:
        if provider_state(provider)[1] == GOOD:
            yield provider.attempts, 1, "providers", provider.name
    for model in status.models:
        if model.targets and all(target.state == "ready" for target in model.targets):
            yield model.requests, len(model.targets), "models", model.name
