"""Words for the compiler, which mean nothing where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr, trait
else:

    def mypyc_attr(**_):
        """Of a class: what may be done with it once it is compiled."""
        return lambda cls: cls

    def trait(cls):
        """A class that can be a base beside another one."""
        return cls


__all__ = ["mypyc_attr", "trait"]
