"""Whether two runs of one seed were the same: the fault of each attempt that both of them had.

An attempt is known by its provider and its key, which is what was asked and for the how-manieth time. A gateway whose
clocks are real may go to another provider in one of two runs; then there is nothing to compare, and nothing to mend.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from oxllm.sim.provider.ledger import Record

Fates = Mapping[str, str]
"""`PROVIDER:KEY` of an attempt -> its fault as the grammar writes it, "" for a healthy answer."""
SHOWN = 3


class Likeness(msgspec.Struct, frozen=True):
    """How many attempts could be compared, and those that met something else."""

    compared: int
    differing: tuple[str, ...]
    why: str = ""
    """Nothing could be compared."""

    def __str__(self) -> str:
        if not self.compared:
            return f"nothing of both could be compared: {self.why}"
        told = f"{self.compared} attempts of both compared"
        if not self.differing:
            return f"{told}, all alike"
        more = ", ..." if len(self.differing) > SHOWN else ""
        return f"{told}, {len(self.differing)} differ: {', '.join(self.differing[:SHOWN])}{more}"


def fates(records: Iterable[Record]) -> dict[str, str]:
    """Of all attempts in the ledgers."""
    return {f"{record.provider}:{record.key}": record.fault or "" for record in records if record.is_attempt}


def likeness(one: Fates, other: Fates) -> Likeness:
    both = [coordinate for coordinate in one if coordinate in other]
    differing = tuple(coordinate for coordinate in both if one[coordinate] != other[coordinate])
    return Likeness(len(both), differing, "" if both else _why(_providers(one), _providers(other)))


def _providers(found: Fates) -> list[str]:
    return sorted({coordinate.rpartition(":")[0] for coordinate in found})


def _why(one: list[str], other: list[str]) -> str:
    """Why no attempt is in both."""
    if set(one).isdisjoint(other):
        return f"their providers have other names: {', '.join(one)} here and {', '.join(other)} there"
    return "their providers were asked other questions"
