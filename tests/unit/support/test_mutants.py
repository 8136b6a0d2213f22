"""The planted bugs fit the code that they are planted in, and their killers exist."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.__main__ import ROOT, fits
from tests.mutants.plants import PLANTS, Plant


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_replaces_something_that_is_there_once(plant: Plant) -> None:
    assert fits(plant) is None
    assert plant.old != plant.new


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_plant_still_compiles(plant: Plant) -> None:
    text = (ROOT / plant.file).read_text(encoding="utf-8")
    ast.parse(text.replace(plant.old, plant.new))


@pytest.mark.parametrize("killer", sorted({killer for plant in PLANTS for killer in plant.killers}))
def test_a_killer_exists(killer: str) -> None:
    file, _, name = killer.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8") or not name


def test_no_two_plants_are_the_same() -> None:
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    assert len({(plant.file, plant.old, plant.new) for plant in PLANTS}) == len(PLANTS)
