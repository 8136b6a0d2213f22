"""The parts that a page is made of, and its words for times and counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .markup import Markup, join, tag


def section(name: str, title: str, *children: str) -> Markup:
    """A part of the page with its heading."""
    return tag("section", tag("h2", title, id=f"{name}-title"), *children, id=name, aria_labelledby=f"{name}-title")


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """What the colours mean: class and words of each."""
    return tag("ul", *(tag("li", tag("i", class_=class_), words) for class_, words in entries), class_="legend")


def listed(class_: str, items: Iterable[str]) -> Markup:
    """A list, or nothing when there is nothing in it."""
    found = [tag("li", item) for item in items]
    return tag("ul", *found, class_=class_) if found else join(())


def numbers(caption: str, head: Sequence[str], lines: Iterable[Sequence[str]]) -> Markup:
    """A picture's numbers, for who would rather read them."""
    heads = tag("thead", tag("tr", *(tag("th", word, scope="col") for word in head)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in line)) for line in lines))
    table = tag("table", tag("caption", caption), heads, body)
    return tag(
        "details", tag("summary", "As a table"), tag("div", table, class_="scroll", tabindex=0), class_="numbers"
    )


def duration(seconds: float) -> str:
    """A time in the unit that fits: 57 ms, 1.25 s, 2 min."""
    if seconds < 1 and seconds:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def counted(number: int, noun: str) -> str:
    """A number and its noun, which takes an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
