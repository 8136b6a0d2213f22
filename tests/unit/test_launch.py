"""Which allocator the serving process gets, by its environment."""

from __future__ import annotations

import os

import pytest

from oxllm import launch


def test_on_glibc_all_memory_comes_from_its_one_heap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36", raising=False)
    assert launch.environment({"HOME": "/"}) == {"MALLOC_ARENA_MAX": "1", "PYTHONMALLOC": "malloc"}


def test_an_allocator_that_the_user_has_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36", raising=False)
    assert launch.environment({"PYTHONMALLOC": "pymalloc"}) == {"MALLOC_ARENA_MAX": "1"}


@pytest.mark.parametrize("error", [OSError, ValueError, AttributeError])
def test_where_there_is_no_glibc_python_keeps_its_own(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def refuse(name: str) -> str:
        raise error

    monkeypatch.setattr(os, "confstr", refuse, raising=False)
    assert launch.environment({}) == {"MALLOC_ARENA_MAX": "1"}
