"""The screen that is drawn over and over, and what signals may do to it."""

from __future__ import annotations

import os
import signal

import pytest

from oxllm.cli import screen
from oxllm.cli.screen import Screen


def test_a_suspension_waits_until_the_page_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would write in the middle of a write, which Python's output does not take."""
    seen: list[str] = []

    def show(text: str) -> None:
        seen.append("begun")
        if "page" in text and "suspended" not in seen:
            signal.raise_signal(signal.SIGTSTP)  # for this thread: pytest may have others
        seen.append("ended")

    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setattr(screen, "show", show)
    monkeypatch.setattr(os, "kill", lambda pid, number: seen.append("suspended"))
    with Screen() as drawn:
        seen.clear()
        drawn.draw("page\n")
        assert seen == ["begun", "ended", "begun", "ended", "suspended", "begun", "ended"]
