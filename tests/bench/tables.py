"""Tables: aligned text for a terminal, and the same as Markdown between two marks of a document."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "footprint.md"


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too; all but the first column to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    rule = ["-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])]
    lines = [_line(header, widths), f"| {' | '.join(rule)} |", *(_line(row, widths) for row in rows)]
    return "\n".join(lines)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
    return f"| {' | '.join(cells)} |"


def machine() -> str:
    """Where a table was measured, in a few words."""
    return f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}, {_processor()}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or "unknown processor"
    found = re.search(r"^model name\s*: *(.+)$", text, re.MULTILINE)
    return found[1] if found else "unknown processor"


def write(section: str, text: str, document: Path = DOCUMENT) -> None:
    """Puts `text` between `<!-- SECTION -->` and `<!-- /SECTION -->`. Raises ValueError where those are missing."""
    old = document.read_text(encoding="utf-8")
    first, last = f"<!-- {section} -->\n", f"<!-- /{section} -->"
    if first not in old or last not in old:
        raise ValueError(f"{document} has no section {section}")
    before, rest = old.split(first, 1)
    after = rest.split(last, 1)[1]
    document.write_text(f"{before}{first}\n{text.strip()}\n\n{last}{after}", encoding="utf-8")
