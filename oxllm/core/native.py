"""Decorators for mypyc, which do nothing if it is not installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr, trait
else:

    def mypyc_attr(**_):
        """Says what a compiled class allows, such as interpreted subclasses."""
        return lambda cls: cls

    def trait(cls):
        """Marks a class that can be used as a second base."""
        return cls


__all__ = ["mypyc_attr", "trait"]
