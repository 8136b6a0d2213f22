"""Bases of our values. They are in a module of their own, since it stays interpreted where others are compiled: mypyc
drops what a class statement says beside its bases, and keeps what a base has said.

A class of one of these still repeats the keywords of its base, for mypy. What msgspec decodes into has to be
interpreted itself (`*_shapes`): of a compiled class it cannot read the types of the fields.
"""

from __future__ import annotations

import msgspec


class Value(msgspec.Struct, frozen=True):
    """Does not change."""


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """Does not change, and holds nothing that refers back to it."""


class Shape(msgspec.Struct, gc=False):
    """What is read of some JSON."""
