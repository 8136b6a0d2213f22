"""Building blocks of a page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from oxllm.sim.page.markup import Markup, join, tag

_TYPED = re.compile(r"`([^`]+)`")


def section(name: str, title: str, *children: str) -> Markup:
    """A section of the page, with its heading."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title")


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """What the colours mean. `entries`: class and text of each."""
    return tag("ul", *(tag("li", tag("i", class_=class_), words) for class_, words in entries), class_="legend")


def listed(class_: str, items: Iterable[str]) -> Markup:
    """A list, or nothing if it is empty. Text in backticks is marked as to be typed."""
    found = [tag("li", *_worded(item)) for item in items]
    return tag("ul", *found, class_=class_) if found else join(())


def _worded(text: str) -> list[str]:
    return [tag("kbd", part) if place % 2 else part for place, part in enumerate(_TYPED.split(text))]


def numbers(caption: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> Markup:
    """A picture's numbers, for those who prefer to read them."""
    heads = tag("thead", tag("tr", *(tag("th", word, scope="col") for word in head)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in line)) for line in lines))
    table = tag("table", tag("caption", caption), heads, body)
    return tag(
        "details",
        tag("summary", "As a table"),
        tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption),
        class_="numbers",
    )
