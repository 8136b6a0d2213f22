"""What a simulated provider stores: the newest answers, bounded in number and in bytes."""

from __future__ import annotations

import pytest

from oxllm.sim.provider import memory as memories
from oxllm.sim.provider.memory import KEEP, KEEP_BYTES, Memory, Remembered


def answer(name: str, size: int) -> Remembered:
    return Remembered({"id": name, "output": [{"id": f"item {name}"}]}, [], size, 0.0, lambda: iter(()))


def known(memory: Memory, count: int) -> list[int]:
    """Those that it still has."""
    names = [number for number in range(count) if memory.find(f"{number}") is not None]
    assert names == [number for number in range(count) if memory.has_item(f"item {number}")]
    return names


@pytest.mark.parametrize(("size", "left"), [(0, KEEP), (100, KEEP), (8_000_000, 4), (2 * KEEP_BYTES, 1)])
def test_only_the_newest_answers_are_stored(size: int, left: int) -> None:
    memory, count = Memory(), left + 9
    for number in range(count):
        memory.keep(answer(f"{number}", size))
    assert known(memory, count) == list(range(9, count))


def test_a_deleted_answer_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memories, "KEEP_BYTES", 30)
    memory = Memory()
    for number in range(3):
        memory.keep(answer(f"{number}", 10))
    assert memory.forget("1")
    assert not memory.forget("1")
    memory.keep(answer("3", 10))
    memory.keep(answer("3", 10))
    assert known(memory, 4) == [0, 2, 3]
