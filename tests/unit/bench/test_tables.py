"""Tables that are written into a document, and the verdicts on the goals."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import overload, tables
from tests.bench.compare import Row, Sample, median, table, verdicts


def sample(request_us: float, streams_mb: float = 20.0, per_s: float = 1000.0) -> Sample:
    return Sample(request_us, 10.0, 0.1, 15.0, streams_mb, 500, per_s, 1.0)


def test_a_section_is_replaced_and_the_rest_of_the_document_stays(tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", encoding="utf-8")
    for text in ("new", "newer"):
        tables.write("a", text, document)
    assert document.read_text(encoding="utf-8") == "before\n<!-- a -->\n\nnewer\n\n<!-- /a -->\nafter\n"


def test_a_document_without_the_section_is_an_error_and_unchanged(tmp_path: Path) -> None:
    document = tmp_path / "doc.md"
    document.write_text("text\n", encoding="utf-8")
    with pytest.raises(ValueError, match="no section a"):
        tables.write("a", "new", document)
    assert document.read_text(encoding="utf-8") == "text\n"


def test_all_sections_that_the_benchmarks_write_are_in_the_document() -> None:
    text = tables.DOCUMENT.read_text(encoding="utf-8")
    for section in ("costs", "imports", "comparison", "instructions", "features", "overload"):
        assert text.count(f"<!-- {section} -->\n") == text.count(f"<!-- /{section} -->") == 1


def test_the_lines_of_a_table_are_all_of_one_length() -> None:
    lines = tables.aligned(("name", "µs"), [("a", "1"), ("a longer one", "1,000")]).splitlines()
    assert len({len(line) for line in lines}) == 1


def test_a_goal_that_is_missed_says_so_and_by_how_much() -> None:
    rows = [Row("oxllm", sample(75.0)), Row("envoy", sample(50.0)), Row("nginx", sample(10.0, streams_mb=25.0))]
    assert verdicts(rows) == [
        "MISSED: oxllm: CPU per small request, of Envoy's: 1.5, at most 1.25",
        "reached: oxllm: CPU per stream event, of Envoy's: 1, at most 1.15",
        "reached: oxllm: RSS at 500 streams, of nginx's: 0.8, at most 0.9",
    ]


def test_an_absent_rival_is_said_to_be_absent_and_has_no_verdict() -> None:
    rows = [Row("oxllm", sample(75.0)), Row("envoy", None, "absent")]
    assert "absent" in table(rows)
    assert verdicts(rows) == []


def test_the_medians_are_taken_column_by_column() -> None:
    assert median([sample(1.0, 30.0), sample(3.0, 10.0), sample(2.0, 20.0)]) == sample(2.0, 20.0)


def test_the_report_of_an_overload_says_whether_those_let_in_were_answered_in_time() -> None:
    lines = [overload.Line(32, 2000.0, 0.0, 12.0, 20.0), overload.Line(64, 1500.0, 900.0, 20.0, 51.0)]
    assert "- MISSED: p99 of what is let in, at twice as many clients: 51 ms, at most 50" in overload.report(lines, "x")
    assert "- met: p99" in overload.report(lines[:1], "x")
