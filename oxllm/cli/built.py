"""How this oxllm was built."""

from __future__ import annotations

import importlib.util


def built() -> str:
    """`compiled` or `pure Python`. A compiled wheel holds both, and Python prefers the compiled modules."""
    found = importlib.util.find_spec("oxllm.core.request.exchange")
    assert found is not None
    return "pure Python" if (found.origin or "").endswith(".py") else "compiled"
