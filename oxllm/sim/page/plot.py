"""Pictures as SVG inside HTML: the marks stretch with the page, while the labels keep the size of text.

Positions are relative to the picture: x from 0 (left) to 1, y from 0 (bottom) to 1. Colours are classes of page.css.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from oxllm.sim.page.markup import Markup, tag

WIDTH, HEIGHT = 1000.0, 100.0
"""Size of a picture in its own coordinates; its size on the page is up to the style sheet."""

Label = tuple[float, str]
"""A position on an axis, and its text."""


def picture(summary: str, marks: Iterable[str], xs: Sequence[Label] = (), ys: Sequence[Label] = ()) -> Markup:
    """Marks in a frame. `summary`: the picture in a sentence, for screen readers."""
    lines = [_line(y) for y, _ in ys]
    svg = tag(
        "svg", tag("g", *lines, class_="grid"), *marks, role="img", aria_label=summary,
        viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", preserveAspectRatio="none",
    )  # fmt: skip
    left = [tag("span", word, style=f"bottom:{y:.2%}") for y, word in ys]
    below = [tag("span", word, style=f"left:{x:.2%}") for x, word in xs]
    axes = [tag("div", *axis, class_=name, aria_hidden="true") for name, axis in (("ys", left), ("xs", below))]
    return tag("div", axes[0], svg, axes[1], class_="frame")


def box(x: float, y: float, width: float, height: float, class_: str, count: float | None = None) -> Markup:
    """A filled rectangle, by its lower left corner. `count`: how many things it stands for."""
    top = HEIGHT * (1 - y - height)
    return tag("rect", x=x * WIDTH, y=top, width=width * WIDTH, height=height * HEIGHT, class_=class_, data_count=count)


def told(words: str, *marks: str) -> Markup:
    """Marks with a tooltip."""
    return tag("g", tag("title", words), *marks)


def steps(points: Sequence[tuple[float, float]], class_: str, count: int) -> Markup:
    """A step curve through points with rising x and y, from the bottom to the right edge."""
    drawn, y = "", HEIGHT
    for x, share in points:
        drawn += f"{'L' if drawn else 'M'}{x * WIDTH:.1f} {y:.1f}"
        y = HEIGHT * (1 - share)
        drawn += f"V{y:.1f}"
    return tag("path", d=f"{drawn}H{WIDTH:g}", class_=f"curve {class_}", data_count=count)


def dot(x: float, y: float, class_: str) -> Markup:
    """A round mark: a line of length 0, whose round cap is not stretched with the page."""
    return tag("path", d=f"M{x * WIDTH:.1f} {HEIGHT * (1 - y):.1f}h0", class_=f"dot {class_}")


def rule(y: float, class_: str) -> Markup:
    """A horizontal line across the picture."""
    return _line(y, class_)


def _line(y: float, class_: str | None = None) -> Markup:
    at = HEIGHT * (1 - y)
    return tag("line", x1=0, x2=WIDTH, y1=at, y2=at, class_=class_)
