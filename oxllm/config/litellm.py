"""Converts a LiteLLM config to oxllm's, and lists what could not be carried over.

After docs.litellm.ai (Proxy config, Routing, Fallbacks), November 2026. API keys written in the file are not copied:
an environment variable takes the place of each.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import msgspec

from oxllm.config.litellm_places import BASES, KEYLESS, PLACEHOLDERS, Place, environment, place
from oxllm.config.names import check_name
from oxllm.config.problem import BadValueError

PASSED = frozenset(
    {
        "model",
        "api_key",
        "api_base",
        "base_url",
        "timeout",
        "stream_timeout",
        "weight",
        "order",
        "max_parallel_requests",
        "api_version",
        "custom_llm_provider",
        "extra_body",
    }
)
"""Parameters that are carried over."""
COUNTS = frozenset({"timeout", "stream_timeout", "weight", "order", "max_parallel_requests"})
"""Those of them that are numbers."""
BODY = frozenset({"temperature", "max_tokens", "top_p", "reasoning_effort", "seed", "frequency_penalty", "stop"})
"""Parameters that become `extra_body`."""
NOT_OF_THE_BODY = frozenset({"model", "stream"})
"""Never part of `extra_body`: the target and the client decide these."""
ELSEWHERE = frozenset(
    {"audio_transcription", "image_edit", "ocr", "realtime", "search", "vector_store", "video_generation"}
)
"""Modes of models whose endpoints do not exist here."""
LIMITS = {
    "request_timeout": ("timeouts", "answer"),
    "timeout": ("timeouts", "answer"),
    "stream_timeout": ("timeouts", "first_byte"),
    "allowed_fails": ("breaker", "failures"),
    "cooldown_time": ("breaker", "cooldown"),
}
"""Settings that are numbers -> what they are here; of two for one key the later counts."""
MAX_ATTEMPTS = 6
"""Of one request, if the config does not set it."""


class Provider(msgspec.Struct):
    """One [[providers]]."""

    name: str
    base_url: str
    api_key: str | None
    protocols: tuple[str, ...] = ()
    models: list[str] = []
    timeouts: dict[str, float] = {}
    extra_body: dict[str, Any] = {}
    max_in_flight: int | None = None


class Target(msgspec.Struct, frozen=True):
    """One target of a virtual model."""

    provider: str
    model: str
    tier: int
    weight: float = 1


class Adapted(msgspec.Struct):
    """The converted config."""

    providers: list[Provider] = []
    models: dict[str, list[Target]] = {}
    settings: dict[str, dict[str, Any]] = {}
    lost: list[str] = []
    """What could not be carried over, one line each."""
    variables: list[str] = []
    """Variables to be set to the keys that the file held."""


def adapt(config: Mapping[str, Any]) -> Adapted:
    """Convert a parsed LiteLLM config."""
    return _Adapter(config).run()


class _Adapter:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.out = Adapted()
        self.by_place: dict[tuple[Any, ...], Provider] = {}
        self.credentials = {
            str(entry.get("credential_name")): _table(entry.get("credential_values"))
            for entry in _tables(config.get("credential_list"))
        }
        self.taken: set[str] = set()
        """Variables already in use: none of them may replace a key that is written in the file."""

    def run(self) -> Adapted:
        entries: list[tuple[str, dict[str, Any]]] = []
        for position, entry in enumerate(_list(self.config.get("model_list")), start=1):
            if unread := _unreadable(entry) or _elsewhere(entry):
                self.out.lost.append(f"model_list: {_entry_name(entry, position)}: {unread}")
            else:
                entries.append((str(entry["model_name"]), self.given(_table(entry["litellm_params"]))))
        self.taken = {place(given).variable for _, given in entries if given.get("api_key") is None}
        self.taken |= _variables(self.config)
        for name, given in entries:
            self.entry(name, given)
        router, settings = _table(self.config.get("router_settings")), _table(self.config.get("litellm_settings"))
        self.weights()
        for_all = {"*": settings.get("default_fallbacks")}
        self.fallbacks([*self.listed(router, "fallbacks"), *self.listed(settings, "fallbacks"), for_all])
        self.aliases(_table(router.get("model_group_alias")))
        self.limits({**settings, **router})
        self.access(_table(self.config.get("general_settings")))
        self.leftovers()
        self.out.lost = list(map(_one_line, self.out.lost))
        return self.out

    # Models.

    def listed(self, given: Mapping[str, Any], key: str) -> list[Any]:
        """The list of this name, which may be absent."""
        if given.get(key) is not None and not isinstance(given[key], list):
            self.out.lost.append(f"{key}, which is no list")
        return _list(given.get(key))

    def given(self, params: dict[str, Any]) -> dict[str, Any]:
        """An entry's parameters, merged with those of the credential it names."""
        params = {key: value for key, value in params.items() if value is not None}
        named = str(params.get("litellm_credential_name"))
        if named not in self.credentials:
            return params
        return {**self.credentials[named], **{k: v for k, v in params.items() if k != "litellm_credential_name"}}

    def entry(self, name: str, given: Mapping[str, Any]) -> None:
        at = place(given)
        if not at.base:
            why = (
                "it has no api_base"
                if at.prefix in BASES
                else f"of {at.prefix} no address is known that speaks OpenAI's API"
            )
            self.out.lost.append(f"model_list: {name} ({given['model']}): {why}")
            return
        if bad := _bad_name(name) or _bad_name(at.model):
            self.out.lost.append(f"model_list: {name} ({given['model']}): the name {bad}")
            return
        provider = self.provider(at, given, self.body(name, given))
        if "*" in at.model and at.model != name:  # LiteLLM sends only what matches the *, not the whole name
            advice = f"write the names into `models` of {provider.name}, and {provider.name}/NAME reaches them"
            self.out.lost.append(f"model_list: {name}: {advice}")
            return
        model = "*" if "*" in at.model else _literal(at.model)
        if model not in (*provider.models, "*"):
            provider.models.append(model)
        target = Target(provider.name, model, _whole(given.get("order"), 1), _weight(given.get("weight")))
        self.out.lost += [f"model_list: {name}: {part}" for part in at.lost]
        targets = self.out.models.setdefault(name, [])
        if not any((t.provider, t.model) == (target.provider, target.model) for t in targets):
            targets.append(target)
        for key in sorted(given):
            if key in BODY:
                why = " as a default (extra_body replaces what a client sends)"
                self.out.lost.append(f"model_list: {name}: {key}{why}")
            elif key not in PASSED or (key in COUNTS and not _is_number(given[key])):
                self.out.lost.append(f"model_list: {name}: {key}")

    def weights(self) -> None:
        """Make fractions whole: LiteLLM takes 0.3 beside 0.7 as well."""
        for name, targets in self.out.models.items():
            if any(target.weight % 1 for target in targets):
                shares = [max(1, round(target.weight * 100)) for target in targets]
                whole = [share // math.gcd(*shares) for share in shares]
                self.out.models[name] = [
                    msgspec.structs.replace(target, weight=weight)
                    for target, weight in zip(targets, whole, strict=True)
                ]

    def body(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What becomes `extra_body`."""
        wanted = {key: given[key] for key in sorted(BODY & set(given))} | _table(given.get("extra_body"))
        plain = {key: _as_toml(value) for key, value in wanted.items() if key not in NOT_OF_THE_BODY}
        body = {key: value for key, value in plain.items() if value is not None}
        self.out.lost += [f"model_list: {name}: {key} of the body" for key in wanted if key not in body]
        return body

    def provider(self, at: Place, given: Mapping[str, Any], body: dict[str, Any]) -> Provider:
        """The provider for this place, key and settings; created if there is none yet."""
        timeouts = _timeouts(given)
        limit = _whole(given.get("max_parallel_requests"), 0) or None
        found = (at.base, str(given.get("api_key")), str(timeouts), str(body), limit)
        if found not in self.by_place:
            name = self.free_name(at.prefix.replace("_", "-"))
            key = self.key(name, at, given.get("api_key"))
            new = Provider(name, at.base, key, at.protocols, [], timeouts, body, limit)
            self.by_place[found] = new
            self.out.providers.append(new)
        return self.by_place[found]

    def free_name(self, wanted: str) -> str:
        taken = {provider.name for provider in self.out.providers}
        return next(name for n in itertools.count(1) if (name := wanted if n == 1 else f"{wanted}-{n}") not in taken)

    def key(self, name: str, at: Place, given: object) -> str | None:
        if given is None:
            return None if at.prefix in KEYLESS else f"${{{at.variable}}}"
        if variable := environment(str(given)):
            return f"${{{variable}}}"
        if str(given).strip().lower() in PLACEHOLDERS:
            return None
        return f"${{{self.free_variable(re.sub(r'[^A-Za-z0-9]', '_', name).upper())}}}"

    def free_variable(self, wanted: str) -> str:
        """A variable for a key that the file holds."""
        names = (f"{wanted}_API_KEY" if n == 1 else f"{wanted}_{n}_API_KEY" for n in itertools.count(1))
        variable = next(name for name in names if name not in self.taken)
        self.taken.add(variable)
        self.out.variables.append(variable)
        return variable

    # Fallbacks, aliases and settings.

    def fallbacks(self, given: list[Any]) -> None:
        """Append the targets of a model's fallbacks to its own, one fallback after another, each in further tiers.

        The fallbacks of `*` apply to each model that has none of its own.
        """
        own = {name: list(targets) for name, targets in self.out.models.items()}
        said: dict[str, list[str]] = {}
        for entry in given:
            if not isinstance(entry, dict):
                self.out.lost.append("fallbacks: an entry that names no model")
            for name, others in _table(entry).items():
                names = [str(other) for other in _list(others) if isinstance(other, str | int)]
                if others is not None and (not isinstance(others, list) or len(names) < len(others)):
                    self.out.lost.append(f"fallbacks: {name} -> what is no list of names")
                said.setdefault(name, []).extend(names)
        for_all = said.pop("*", [])
        self.out.lost += [f"fallbacks: {name} is no model of model_list" for name in said if name not in own]
        self.out.lost += [
            f"fallbacks: * -> {other}, which is no model of model_list" for other in for_all if other not in own
        ]
        for name in own:
            for other in said.get(name, [other for other in for_all if other in own]):
                self.fall_back(name, own.get(other), other)

    def fall_back(self, name: str, targets: list[Target] | None, other: str) -> None:
        if targets is None:
            self.out.lost.append(f"fallbacks: {name} -> {other}, which is no model of model_list")
            return
        into = self.out.models[name]
        known = {(target.provider, target.model) for target in into}
        behind = max(target.tier for target in into) + 1 - min(target.tier for target in targets)
        into += [
            msgspec.structs.replace(target, tier=behind + target.tier)
            for target in targets
            if (target.provider, target.model) not in known
        ]

    def aliases(self, given: Mapping[str, Any]) -> None:
        for alias, name in given.items():
            meant = str(name.get("model") if isinstance(name, dict) else name)
            if meant not in self.out.models:
                self.out.lost.append(f"model_group_alias: {alias} -> {meant}, which is no model of model_list")
            elif bad := _bad_name(alias):
                self.out.lost.append(f"model_group_alias: {alias} -> {meant}: the name {bad}")
            else:
                self.out.models[alias] = list(self.out.models[meant])

    def limits(self, given: Mapping[str, Any]) -> None:
        for name, (section, key) in LIMITS.items():
            value = _plus_one(given.get(name)) if name == "allowed_fails" else given.get(name)
            if _is_number(value):
                self.out.settings.setdefault(section, {})[key] = value
            elif given.get(name) is not None:
                self.out.lost.append(f"{name}: {given[name]}")
        self.retries(given.get("num_retries"))
        strategy = given.get("routing_strategy")
        if strategy not in (None, "simple-shuffle"):
            self.out.lost.append(f"routing_strategy: {strategy} (here: weighted round robin inside a tier)")

    def retries(self, given: object) -> None:
        """LiteLLM's limit is per model group; ours also includes the attempts at the fallbacks."""
        longest = max(map(len, self.out.models.values()), default=0)
        tries = _plus_one(given) or 0
        if given is not None and not tries:
            self.out.lost.append(f"num_retries: {given}")
        if tries or longest > MAX_ATTEMPTS:
            self.out.settings.setdefault("retry", {})["max_attempts"] = max(longest, tries)
        if tries == 1:
            self.out.settings["retry"]["same_target"] = 0

    def access(self, given: Mapping[str, Any]) -> None:
        if key := given.get("master_key"):
            variable = environment(str(key)) or self.free_variable("OXLLM")
            self.out.settings.setdefault("server", {})["api_keys"] = [f"${{{variable}}}"]
        self.out.lost += [f"general_settings: {key}" for key in given if key != "master_key"]

    def leftovers(self) -> None:
        taken = {
            "router_settings": {
                *("fallbacks", "model_group_alias", "timeout", "stream_timeout", "allowed_fails", "cooldown_time"),
                *("num_retries", "routing_strategy"),
            },
            "litellm_settings": {
                *("fallbacks", "default_fallbacks", "request_timeout", "num_retries", "allowed_fails", "cooldown_time"),
            },
        }
        for section, keys in taken.items():
            self.out.lost += [f"{section}: {key}" for key in _table(self.config.get(section)) if key not in keys]
        known = {"model_list", "router_settings", "litellm_settings", "general_settings", "credential_list"}
        self.out.lost += [str(key) for key in self.config if key not in known]


def _unreadable(entry: object) -> str:
    """Why an entry of model_list is unusable; empty if it is not."""
    if not isinstance(entry, dict):
        return "the entry is no mapping"
    if not entry.get("model_name"):
        return "it has no model_name"
    params = entry.get("litellm_params")
    if not isinstance(params, dict):
        return "it has no litellm_params" if params is None else "litellm_params is no mapping"
    model = params.get("model")
    if isinstance(model, str) and model:
        return ""
    return "litellm_params has no model" if model in (None, "") else "litellm_params.model is no text"


def _entry_name(entry: object, position: int) -> str:
    name = entry.get("model_name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name else f"entry {position}"


def _elsewhere(entry: Mapping[str, Any]) -> str:
    """Why no endpoint here could serve an entry; empty if one can."""
    mode = str(_table(entry.get("model_info")).get("mode"))
    return f"mode {mode}, for which there is no endpoint here" if mode in ELSEWHERE else ""


def _variables(value: object) -> set[str]:
    """All environment variables that a config refers to."""
    if isinstance(value, str):
        return {environment(value)}
    items = value.values() if isinstance(value, dict) else _list(value)
    return {name for item in items for name in _variables(item)}


def _timeouts(given: Mapping[str, Any]) -> dict[str, float]:
    pairs = {"answer": given.get("timeout"), "first_byte": given.get("stream_timeout")}
    return {key: value for key, value in pairs.items() if _is_number(value)}


MOST = 1_000_000
"""The upper bound of oxllm's numeric settings."""
INTEGER_MAX = (1 << 63) - 1
"""The largest integer that TOML guarantees."""


def _is_number(value: object) -> TypeGuard[float]:
    """Can it be a time or a count? YAML may have true, .inf or .nan there."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST


def _plus_one(value: object) -> int | None:
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else None


def _whole(value: object, default: int) -> int:
    return max(1, round(value)) if _is_number(value) else default


def _weight(value: object) -> float:
    return (int(value) if value % 1 == 0 else value) if _is_number(value) else 1


def _bad_name(name: str) -> str:
    """Why this cannot be a model's name; empty if it can."""
    try:
        check_name(_characters(name))
    except BadValueError as bad:
        return str(bad.args[0])
    return ""


def _as_toml(value: object) -> object:
    """The value as both TOML and JSON can hold it, else None. YAML also has null, dates, sets, .nan, and keys of any
    type."""
    if isinstance(value, dict):
        table = {str(key): _as_toml(item) for key, item in value.items()}
        return None if None in table.values() else table
    if isinstance(value, list):
        items = [_as_toml(item) for item in value]
        return None if None in items else items
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if abs(value) <= INTEGER_MAX else None
    return _literal(value) if isinstance(value, str) else None


def _literal(text: str) -> str:
    """Escape the text, so that nothing in it is expanded as a variable."""
    return text.replace("${", "$${")


def _one_line(text: str) -> str:
    """Make the text fit for a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in _characters(text)).split())


def _characters(text: str) -> str:
    """Without surrogates: JSON escapes a character over U+FFFF as a pair, which YAML's parser does not join."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _table(value: object) -> dict[str, Any]:
    return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _tables(value: object) -> Iterator[dict[str, Any]]:
    return (_table(item) for item in _list(value) if isinstance(item, dict))


# As TOML.


def render(adapted: Adapted, source: str) -> str:
    """The config, with what was lost in comments on top."""
    lines = [f"# Made by `oxllm adapt {_one_line(source)}`."]
    if adapted.lost:
        lines += ["#", "# Not carried over:", *(f"#   {text}" for text in adapted.lost)]
    if adapted.variables:
        lines += ["#", f"# To be set to the keys that stood in the file: {', '.join(adapted.variables)}"]
    for section, values in adapted.settings.items():
        lines += ["", f"[{section}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    for provider in adapted.providers:
        lines += ["", "[[providers]]", *_provider(provider)]
    for name, targets in adapted.models.items():
        lines += ["", f"[virtual_models.{_key(name)}]", "targets = [", *map(_target, targets), "]"]
    return "\n".join(lines) + "\n"


def _provider(provider: Provider) -> Iterator[str]:
    yield f"name = {_value(provider.name)}"
    yield f"base_url = {_value(provider.base_url)}"
    if provider.api_key:
        yield f"api_key = {_value(provider.api_key)}"
    for key in ("protocols", "models", "max_in_flight", "timeouts", "extra_body"):
        if value := getattr(provider, key):
            yield f"{key} = {_value(value)}"


def _target(target: Target) -> str:
    weight = f", weight = {target.weight}" if target.weight != 1 else ""
    return (
        f"  {{ provider = {_value(target.provider)}, model = {_value(target.model)}, tier = {target.tier}{weight} }},"
    )


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(str(key))} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool) or not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else f"{value}"
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08X}" for c in _characters(value))
    return f'"{escaped}"'
