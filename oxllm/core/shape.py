"""Base classes of our values. This module is never compiled: in a compiled module mypyc drops the keywords of a class
statement (`frozen`, `gc`), but those of a base class still apply.

A subclass still repeats its base's keywords, for mypy. Classes that msgspec decodes into must not be compiled either
(`*_shapes`): it cannot read the field types of a compiled class.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Immutable."""


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """Immutable, and never part of a reference cycle."""


class Shape(msgspec.Struct, gc=False):
    """The parts that we read of some JSON."""
