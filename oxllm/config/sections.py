"""A parsed document → models of its valid parts, and a Problem for each violation of the schema.

Each table is validated by itself, so that one bad provider does not hide errors elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from oxllm.config.credentials import SECRET_KEYS, TABLES, is_plain
from oxllm.config.lines import Path, show
from oxllm.config.problem import BadValueError, Problems, closest, nearest
from oxllm.config.schema import Breaker, File, Provider, Retry, Section, Server, Timeouts, VirtualModel
from oxllm.config.veil import shown

S = TypeVar("S", bound=Section)
SHOWN_MAX = 60
"""Characters of a bad value that its error shows."""

_KINDS = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
"""pydantic's error type → what the key takes instead."""
_BOUNDS = {
    "greater_than": ("gt", "must be over {}"),
    "greater_than_equal": ("ge", "must be at least {}"),
    "less_than": ("lt", "must be under {}"),
    "less_than_equal": ("le", "must be at most {}"),
}
_CALLED = {
    **dict.fromkeys(("url", "endpoint", "api_base", "base", "baseURL"), "base_url"),
    **dict.fromkeys(("key", "token", "secret"), "api_key"),
    **dict.fromkeys(("id", "title"), "name"),
    **dict.fromkeys(("model",), "models"),
    **dict.fromkeys(("disabled",), "enabled = false"),
}
"""What other programs call a provider's key -> its name here."""
_BELONGS = {
    ("providers", "request"): "`request` is of the whole client request: write it in [timeouts] or a virtual model",
    ("server", "api_key"): "write a list: api_keys = [...]",
    ("virtual_models", "api_key"): "the key belongs to the provider",
    ("providers", "api_version"): "leave it out: Azure's base_url ends in /openai/v1, which has none",
    **{("providers", key): f"write {meant}" for key, meant in _CALLED.items()},
    **{("server", key): "write host" for key in ("listen", "bind", "address", "ip")},
}
"""(section, unknown key) → where it belongs, or what it is called here."""


_STAND_INS: dict[type[Section], dict[str, object]] = {Provider: {"name": "?", "base_url": "http://127.0.0.1"}}
"""Values for required keys that are missing or wrong, so that the rest of the table is still checked."""


class Sections:
    """The tables of a file. If one has errors, its valid part is kept for `checks`; no Plan is made of it."""

    def __init__(self) -> None:
        self.server = Server()
        self.timeouts = Timeouts()
        self.breaker = Breaker()
        self.retry = Retry()
        self.providers: dict[int, Provider] = {}
        """By position in the file."""
        self.virtual_models: dict[str, VirtualModel] = {}


def read_sections(document: Mapping[str, object], raw: Mapping[str, object], problems: Problems) -> Sections:
    """Validate an expanded document. `raw` is the document before expansion: errors quote the file as written."""
    return _Reader(raw, problems).read(document)


class _Reader:
    def __init__(self, raw: Mapping[str, object], problems: Problems) -> None:
        self.raw = raw
        self.problems = problems

    def read(self, document: Mapping[str, object]) -> Sections:
        sections = Sections()
        for key in document.keys() - File.model_fields.keys():
            belongs = "" if isinstance(document[key], dict) else _table_with(File, key)
            self.unknown((key,), belongs or nearest(key, File.model_fields))
        sections.server = self.section(Server, document.get("server", {}), ("server",)) or sections.server
        sections.timeouts = self.section(Timeouts, document.get("timeouts", {}), ("timeouts",)) or sections.timeouts
        sections.breaker = self.section(Breaker, document.get("breaker", {}), ("breaker",)) or sections.breaker
        sections.retry = self.section(Retry, document.get("retry", {}), ("retry",)) or sections.retry
        for index, value in enumerate(self.entries(document, "providers", list)):
            if provider := self.section(Provider, value, ("providers", index)):
                sections.providers[index] = provider
        for name, value in dict(self.entries(document, "virtual_models", dict)).items():
            if model := self.section(VirtualModel, value, ("virtual_models", name)):
                sections.virtual_models[name] = model
        return sections

    def entries(self, document: Mapping[str, object], key: str, kind: type) -> Any:
        value = document.get(key, kind())
        if isinstance(value, kind):
            return value
        advice = f"write it as {f'[[{key}]]' if kind is list else f'[{key}]'}"
        if (
            key == "providers"
            and isinstance(value, dict)
            and (names := [n for n in value if isinstance(value[n], dict)])
        ):
            advice = f'write [[providers]], and below it name = "{names[0]}"'
        self.problems.error((key,), f"takes {'tables' if kind is list else 'a table'}", advice)
        return kind()

    def section(self, model: type[S], value: object, path: Path) -> S | None:
        """The model of one table; None if none of it is usable."""
        if model is VirtualModel and (name := _dotted_name(value)):
            written = ".".join((str(path[-1]), name))
            message = f"a dot parts names, so this is {name!r} inside {path[-1]!r}"
            self.problems.error(path, message, f'put the whole name in quotes: "{written}"', on_key=True)
            return None
        if model is VirtualModel and isinstance(value, dict) and "provider" in value and "targets" not in value:
            self.problems.error(path, "takes a list of targets, not one", f"write {show(path[-1:])} = [{{ … }}]")
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            details = error.errors(include_url=False)
            meant = {_meant(model, detail) for detail in details}
            for detail in details:
                if detail["type"] == "missing" and detail["loc"] in meant:
                    continue  # it is there under another name, which is reported
                self.report(model, path, self.place(path, detail["loc"]), detail)
        wrong = {detail["loc"][0] for detail in details if detail["loc"]}
        if not isinstance(value, dict) or (model is VirtualModel and "targets" in wrong):
            return None
        return model.model_validate(_STAND_INS.get(model, {}) | _sound(value, [detail["loc"] for detail in details]))

    def place(self, path: Path, location: Path) -> Path:
        """The path in the file, where the short form of a virtual model has no `targets`."""
        if location[:1] == ("targets",) and isinstance(value_at(self.raw, path), list):
            location = location[1:]
        return (*path, *location)

    def report(self, model: type[Section], section: Path, path: Path, detail: ErrorDetails) -> None:
        kind, context = detail["type"], detail.get("ctx", {})
        example = _example(_field(model, detail["loc"]))
        shown = self.shown(path)
        if kind == "extra_forbidden":
            belongs = _BELONGS.get((str(section[0]), str(path[-1])))
            if len(section) == 1 and path[-1] in File.model_fields:
                belongs = f"[{path[-1]}] is a table of its own"
            elif belongs is None and len(detail["loc"]) == 1:
                belongs = _table_with(model, str(path[-1]))
            self.unknown(path, belongs or nearest(str(path[-1]), _keys(model, detail["loc"][:-1])))
        elif kind == "missing":
            self.problems.error(path, "is missing", example)
        elif kind == "list_type" and shown.startswith('"'):
            self.problems.error(path, f"takes {_KINDS[kind]}, not {shown}", f"write {show(path[-1:])} = [{shown}]")
        elif kind in _KINDS:
            advice = self.target_as_text(path) or example
            self.problems.error(path, f"takes {_KINDS[kind]}{', not ' + shown if shown else ''}", advice)
        elif kind in _BOUNDS:
            key, words = _BOUNDS[kind]
            self.problems.error(path, f"{shown} is out of range: {words.format(f'{context[key]:.15g}')}", example)
        elif kind == "literal_error":
            said = f"{shown or 'this'} is none of {context['expected']}"
            self.problems.error(path, said, self.meant(path, context) or example)
        elif kind == "too_short":
            self.problems.error(path, "is an empty list", example)
        else:
            self.bad_value(path, shown, context.get("error"), seconds_meant(path, value_at(self.raw, path)) or example)

    def target_as_text(self, path: Path) -> str:
        """What to write for `smart = "alpha/big-1"` and `smart = ["alpha/big-1"]`, or with a name alone, or where the
        key belongs if it is none of a model."""
        value, is_target = value_at(self.raw, path), isinstance(path[-1], int)
        if path[0] != "virtual_models" or not (is_target or len(path) == 2):
            return ""
        if belongs := _table_with(File, str(path[-1])):
            return belongs
        if not isinstance(value, str) or not is_plain(path):
            return ""
        text = shown(value)
        provider, _, model = (text if "/" in text else "…/…").partition("/")
        target = f'{{ provider = "{provider}", model = "{model}" }}'
        return f"write {target}" if is_target else f"write {show(path[-1:])} = [{target}]"

    def meant(self, path: Path, context: Mapping[str, object]) -> str:
        """The valid choice that a wrong one is close to."""
        choices = re.findall(r"'([^']+)'", str(context["expected"]))
        close = get_close_matches(str(value_at(self.raw, path)), choices, n=1)
        return f'did you mean "{close[0]}"?' if close else ""

    def bad_value(self, path: Path, shown: str, error: object, example: str) -> None:
        assert isinstance(error, BadValueError), f"no words for {error!r} at {path}"
        message, *advice = error.args
        self.problems.error(path, f"{shown} {message}".strip(), advice[0] if advice else example)

    def unknown(self, path: Path, advice: str) -> None:
        self.problems.error(path, "is not a key that oxllm knows", advice, on_key=True)

    def shown(self, path: Path) -> str:
        """The value as written in the file, before expansion; empty if it may be a credential."""
        if any(part in SECRET_KEYS for part in path) or (path[0] == "virtual_models" and not is_plain(path)):
            return ""
        value = value_at(self.raw, path)
        if isinstance(value, str):
            text = f'"{shown(value)}"'
        elif isinstance(value, bool):
            text = str(value).lower()
        elif isinstance(value, dict | list):
            text = "a table" if isinstance(value, dict) else "a list"
        else:
            text = _plain(value)
        return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


def seconds_meant(path: Path, value: object) -> str:
    """What to write for `connect = "10s"`."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ms|s|sec|m|min|h)", value) if isinstance(value, str) else None
    if found is None:
        return ""
    seconds = float(found[1]) * {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}[found[2]]
    return f"times are in seconds: write {show(path[-1:])} = {seconds:.12g}"


def _table_with(model: type[Section], key: str) -> str:
    """Advice for a key that is known, but to another table: one inside this, or one of the file's."""
    if model in (Provider, VirtualModel):
        inside = key in _keys(model, ("timeouts",))
        return f"it belongs in `timeouts`: write timeouts = {{ {key} = … }}" if inside else ""
    name = next((name for name in TABLES[:-1] if key in _keys(File, (name,))), "")
    return f"it belongs in {'[[providers]]' if name == 'providers' else f'[{name}]'}" if name else ""


def _meant(model: type[Section], detail: ErrorDetails) -> Path | None:
    """The path of the valid key that an unknown one probably stands for."""
    *above, key = detail["loc"] or ("",)
    if detail["type"] != "extra_forbidden":
        return None
    names = _keys(model, tuple(above))
    called = _CALLED.get(str(key)) if model is Provider and not above else None
    meant = called if called in names else closest(str(key), names)
    return (*above, meant) if meant is not None else None


def _plain(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # an integer with more digits than Python prints
        return "a huge number"


def value_at(document: object, path: Path) -> object:
    """The document's value at `path`; None if there is none."""
    for part in path:
        if isinstance(document, Mapping) and part in document:
            document = document[part]
        elif isinstance(document, list) and isinstance(part, int):
            document = document[part] if part < len(document) else None
        else:
            return None
    return document


def _sound(table: Mapping[str, object], faults: Sequence[Path]) -> dict[str, object]:
    """The table without its bad values; from a nested table, only its bad keys are dropped."""
    whole = {place[0] for place in faults if len(place) == 1}
    rest = {key: value for key, value in table.items() if key not in whole}
    for place in faults:
        if len(place) > 1 and place[0] in rest:
            inner = rest.pop(str(place[0]))
            if isinstance(inner, dict):
                rest[str(place[0])] = {key: value for key, value in inner.items() if key != place[1]}
    return rest


def _dotted_name(value: object) -> str:
    """For an unquoted `gpt-4.1 = [...]`, the part after the dot, which TOML took for a key of its own; else empty."""
    if not isinstance(value, dict) or len(value) != 1:
        return ""
    ((key, inner),) = value.items()
    if key in VirtualModel.model_fields or closest(str(key), VirtualModel.model_fields):
        return ""
    if isinstance(inner, list) or (isinstance(inner, dict) and "targets" in inner):
        return str(key)
    return f"{key}.{rest}" if (rest := _dotted_name(inner)) else ""


def _example(field: FieldInfo | None) -> str:
    return f"write for example {field.examples[0]}" if field and field.examples else ""


def _field(model: type[Section], location: Path) -> FieldInfo | None:
    """The schema field at or in which an error is."""
    keys = [part for part in location if isinstance(part, str)]
    inner: type[BaseModel] | None = model
    field = None
    for key in keys:
        if inner is None or key not in inner.model_fields:
            break
        field = inner.model_fields[key]
        inner = _model_in(field.annotation)
    return field


def _keys(model: type[Section], location: Path) -> list[str]:
    """The valid keys of the table at `location`."""
    field = _field(model, location)
    inner = _model_in(field.annotation) if field else model
    return list(inner.model_fields) if inner else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model inside `Model`, `list[Model]`, `Annotated[...]` or `Model | None`."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
