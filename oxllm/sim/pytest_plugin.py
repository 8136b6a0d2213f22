"""The pytest plugin: one fixture, `llm_sim`. The simulator is not imported before a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oxllm.sim.mock import LLMSim


@pytest.fixture
def llm_sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[LLMSim]:
    """A simulated LLM provider on a free port; OPENAI_BASE_URL, OPENAI_API_KEY, ANTHROPIC_BASE_URL and
    ANTHROPIC_API_KEY point at it while the test runs."""
    from oxllm.sim.mock import LLMSim

    with LLMSim() as sim:
        for name, value in sim.environment.items():
            monkeypatch.setenv(name, value)
        yield sim
