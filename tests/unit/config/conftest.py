"""One way to load a configuration from text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from oxllm.config.compile import Loaded, load

Load = Callable[..., Loaded]


@pytest.fixture
def load_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """`load_text(text, NAME="value")` loads `config.toml` in an empty directory, in that environment."""
    monkeypatch.chdir(tmp_path)

    def load_text(text: str, env: Mapping[str, str] | None = None, **more: str) -> Loaded:
        Path("config.toml").write_text(dedent(text), encoding="utf-8")
        return load("config.toml", {**(env or {}), **more})

    return load_text
