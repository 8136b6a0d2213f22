"""Environment variables in the values of a parsed file: `${NAME}`, `${NAME:-default}`, and `$${` for a plain `${`.

Expansion comes after TOML parsing and touches string values only, so a variable's value can never add a key, close a
string or start a comment. It is not recursive. As in a shell, the default also replaces an empty variable. Of a
disabled provider only the name is expanded, since targets refer to it: its key need not be set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from oxllm.config.lines import Path
from oxllm.config.problem import BadValueError, Problems, UnsetVariableError

_PLACE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}|\$\{")
"""An escape, a variable, or else a `${` that begins neither."""


def expand(text: str, env: Mapping[str, str]) -> str:
    """`text` with its variables replaced. Raises BadValueError for the first that cannot be."""

    def replace(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        name, default = match.group("name", "default")
        if name is None:
            raise BadValueError(
                "what `${` begins is neither ${NAME} nor ${NAME:-default}",
                "write one of them, or $${ for a plain ${",
            )
        value = env.get(name)
        if value and not _is_text(value):
            raise BadValueError(f"the environment variable {name} is not UTF-8", "set it to UTF-8 text")
        if value or (value is not None and default is None):
            return value
        if default is None:
            raise UnsetVariableError(name)
        return str(default)

    return _PLACE.sub(replace, text)


def _is_text(value: str) -> bool:
    """Bytes of the environment that are no UTF-8 are lone surrogates here, which nothing can be written with."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


def expand_document(document: dict[str, object], env: Mapping[str, str], problems: Problems) -> dict[str, object]:
    """The document with every string value expanded; those that cannot be are reported and left as written."""
    return {key: _value(value, (key,), env, problems) for key, value in document.items()}


def _value(value: object, path: Path, env: Mapping[str, str], problems: Problems) -> object:
    if isinstance(value, str):
        return _string(value, path, env, problems)
    if isinstance(value, list):
        return [_value(item, (*path, index), env, problems) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if _is_provider(path) and _is_off(value, env):
        value = value | {"enabled": False} | _name(value, env)
        _mute_variables(value, path, problems)
        return value
    return {key: _value(item, (*path, key), env, problems) for key, item in value.items()}


def _string(text: str, path: Path, env: Mapping[str, str], problems: Problems) -> str:
    try:
        expanded = expand(text, env)
    except BadValueError as bad:
        problems.error(path, *bad.args)
        if isinstance(bad, UnsetVariableError):
            problems.unset.append(bad.name)
        return text
    name = _PLACE.fullmatch(text)
    if not expanded and name and name["name"] and name["default"] is None:
        message = f"the environment variable {name['name']} is set, but empty"
        problems.warning(path, message, "set it to something, or unset it, which is an error")
    return expanded


def _is_provider(path: Path) -> bool:
    return len(path) == 2 and path[0] == "providers"


def _is_off(provider: dict[str, object], env: Mapping[str, str]) -> bool:
    enabled = provider.get("enabled")
    if not isinstance(enabled, str):
        return enabled is False
    try:
        return expand(enabled, env) == "false"
    except BadValueError:
        return False


def _name(provider: dict[str, object], env: Mapping[str, str]) -> dict[str, object]:
    """A disabled provider's expanded name, as an update to its table; empty if it cannot be expanded."""
    try:
        return {"name": expand(name, env)} if isinstance(name := provider.get("name"), str) else {}
    except BadValueError:
        return {}


def _mute_variables(value: object, path: Path, problems: Problems) -> None:
    if isinstance(value, str) and "${" in value:
        problems.mute(path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _mute_variables(item, (*path, index), problems)
    elif isinstance(value, dict):
        for key, item in value.items():
            _mute_variables(item, (*path, key), problems)
