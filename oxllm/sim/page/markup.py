"""Builds HTML and SVG from tags. Whatever is not markup is escaped, so no name can break out."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """`<name attributes>children</name>`. In attribute names `_` becomes `-`, and is dropped at the end (`class_`).
    Attributes that are None are left out."""
    given = (f' {_name(key)}="{_value(value)}"' for key, value in attributes.items() if value is not None)
    return Markup(f"<{name}{''.join(given)}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """Concatenate the parts, escaping those that are not markup."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in parts))


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    return html.escape(value) if isinstance(value, str) else f"{round(value, 2):g}"
