"""Generates the tables of all settings in docs/configuration.md from the schema.

`python -m oxllm.config.reference docs/configuration.md` rewrites them between two marks; a test keeps them current.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from oxllm.config.schema import (
    Breaker,
    Provider,
    Retry,
    Section,
    Server,
    Target,
    Timeouts,
    VirtualModel,
)

BEGIN = "<!-- settings: made by `python -m oxllm.config.reference`, do not edit -->"
END = "<!-- end of settings -->"

SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ("[server]", Server),
    ("[timeouts]", Timeouts),
    ("[breaker]", Breaker),
    ("[retry]", Retry),
    ("[[providers]]", Provider),
    ("[virtual_models.NAME]", VirtualModel),
    ("targets of a virtual model", Target),
)


def render() -> str:
    """Markdown: a heading and a table for each section."""
    return "\n".join(line for title, model in SECTIONS for line in _section(title, model))


def insert(text: str, table: str, begin: str = BEGIN, end: str = END) -> str:
    """`text` with everything between the marks replaced. Raises ValueError if it has no marks."""
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"no {begin} … {end} in it")
    return f"{head}{begin}\n\n{table}\n{end}{tail}"


def _section(title: str, model: type[Section]) -> list[str]:
    schema = model.model_json_schema(mode="validation")
    required = schema.get("required", [])
    rows = [_row(key, setting, key in required) for key, setting in schema["properties"].items()]
    head = ["| key | takes | default | meaning |", "|---|---|---|---|"]
    return [f"### {title}", "", str(model.__doc__), "", *head, *rows, ""]


def _row(key: str, setting: dict[str, Any], required: bool) -> str:
    default = "required" if required else _default(setting.get("default"))
    return f"| `{key}` | {_takes(setting)} | {default} | {setting['description']} |"


def _default(value: object) -> str:
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{json.dumps(value)}`"


def _takes(setting: dict[str, Any]) -> str:
    """The type and its bounds, in words."""
    options = [option for option in setting.get("anyOf", [setting]) if option.get("type") != "null"]
    main = options[0]
    bounds = {key: main[key] for key in _BOUNDS if key in main}
    if "enum" in main:
        return ", ".join(f"`{json.dumps(value)}`" for value in main["enum"])
    if "$ref" in main or "allOf" in main:
        return "table"
    words = _TYPES[main["type"]]
    if main["type"] == "array":
        words = "list of tables" if "$ref" in main["items"] else "list of text"
    return ", ".join([words, *(f"{_BOUNDS[key]} {_plain(value)}" for key, value in bounds.items())])


_TYPES = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true, false",
    "array": "list",
    "object": "table",
}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "maximum": "≤"}


def _plain(value: float) -> str:
    return f"{value:.15g}"


def main(arguments: list[str]) -> int:
    """Write the tables into the given files, or print them."""
    for name in arguments:
        file = Path(name)
        file.write_text(insert(file.read_text(encoding="utf-8"), render()), encoding="utf-8")
    if not arguments:
        sys.stdout.write(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
