"""Nothing here goes through a proxy of the machine."""

from __future__ import annotations

import pytest

from tests.support.gateway import CLEAN


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)
