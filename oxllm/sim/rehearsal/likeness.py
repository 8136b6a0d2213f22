"""Whether two runs of one seed played the same faults, at the attempts that both have.

An attempt is identified by its provider and its key, which is the fingerprint of what was asked and a count. Since a
gateway's clocks are real, it may choose another provider in one of the runs; such attempts are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from oxllm.sim.provider.ledger import Record

Fates = Mapping[str, str]
"""`PROVIDER:KEY` of an attempt -> its fault as the grammar writes it, "" for a healthy answer."""
SHOWN = 3


class Likeness(msgspec.Struct, frozen=True):
    """How many attempts could be compared, and those whose faults differ."""

    compared: int
    differing: tuple[str, ...]
    why: str = ""
    """Why nothing could be compared."""

    def __str__(self) -> str:
        if not self.compared:
            return f"nothing of both could be compared: {self.why}"
        told = f"{self.compared} attempts of both compared"
        if not self.differing:
            return f"{told}, all alike"
        more = ", ..." if len(self.differing) > SHOWN else ""
        return f"{told}, {len(self.differing)} differ: {', '.join(self.differing[:SHOWN])}{more}"


def fates(records: Iterable[Record]) -> dict[str, str]:
    """The fates of all attempts in the ledgers."""
    return {f"{record.provider}:{record.key}": record.fault or "" for record in records if record.is_attempt}


def likeness(one: Fates, other: Fates) -> Likeness:
    both = [coordinate for coordinate in one if coordinate in other]
    differing = tuple(coordinate for coordinate in both if one[coordinate] != other[coordinate])
    return Likeness(len(both), differing, "" if both else _why(_providers(one), _providers(other)))


def _providers(found: Fates) -> list[str]:
    return sorted({coordinate.rpartition(":")[0] for coordinate in found})


def _why(one: list[str], other: list[str]) -> str:
    """Why the runs have no attempt in common."""
    if set(one).isdisjoint(other):
        return f"their providers have other names: {', '.join(one)} here and {', '.join(other)} there"
    return "their providers were asked other questions"
