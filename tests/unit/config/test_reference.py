"""docs/configuration.md has every setting, and the JSON Schema takes what the loader takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from oxllm.config.checks import RESERVED_HEADERS
from oxllm.config.reference import SECTIONS, insert, main, render
from oxllm.config.schema import json_schema
from tests.unit.config.conftest import Load

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_has_the_table_that_the_schema_makes() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert insert(text, render()) == text, "run: python -m oxllm.config.reference docs/configuration.md"


def test_every_setting_is_in_the_table_with_a_meaning_and_an_example() -> None:
    table = render()
    for _, model in SECTIONS:
        for key, field in model.model_fields.items():
            assert f"| `{key}` | " in table
            assert field.description
            assert field.examples


def test_every_reserved_header_is_on_the_page() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    sentence = text.partition("sets or forbids them: ")[2].partition(".")[0]
    assert sorted(sentence.split(", ")) == sorted(RESERVED_HEADERS)


def test_the_example_of_the_page_is_valid(load_text: Load) -> None:
    example = PAGE.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    loaded = load_text(example, ALPHA_KEY="k")
    assert loaded.errors == ()
    assert loaded.warnings == ()


def test_the_command_rewrites_a_page_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    text = PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| `port` |", "| `old` |"), encoding="utf-8")
    assert main([str(page)]) == 0
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="no <!-- settings"):
        insert("a page without marks", "")


def test_the_json_schema_knows_both_forms_of_a_virtual_model_and_variables() -> None:
    schema = json_schema()
    forms = schema["properties"]["virtual_models"]["additionalProperties"]["anyOf"]
    assert [form.get("type", "reference") for form in forms] == ["array", "reference"]
    port = schema["$defs"]["Server"]["properties"]["port"]
    assert port["anyOf"] == [
        {"type": "integer", "minimum": 0, "maximum": 65535},
        {"type": "string", "pattern": r"\$\{"},
    ]
    assert schema["$defs"]["Server"]["additionalProperties"] is False
