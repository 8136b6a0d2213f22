"""Whatever is in a file: a Plan that survives its JSON, or errors in words."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm import plan as plans
from oxllm.config.compile import Loaded, compile_document, load
from oxllm.config.expand import expand
from oxllm.config.lines import Places, find_places
from oxllm.config.problem import BadValueError
from oxllm.plan import HoldBack


@pytest.fixture(scope="module")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.toml"


def load_bytes(file: Path, data: bytes, env: dict[str, str] | None = None) -> Loaded:
    file.write_bytes(data)
    return load(str(file), env or {})


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp", "Cs")), min_size=1, max_size=12
).filter(str.strip)
HEADERS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
SECONDS = st.one_of(st.integers(1, 10**6), st.floats(0.001, 1e6))
TIMEOUTS = st.fixed_dictionaries({}, optional=dict.fromkeys(("connect", "first_byte", "answer", "idle"), SECONDS))
JSON = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
PROVIDERS = st.fixed_dictionaries(
    {
        "name": NAMES.filter(lambda name: "/" not in name and name == name.strip() and name[0] not in "-."),
        "base_url": st.sampled_from(["http://a", "https://b.example/v1/", "http://[::1]:8000", "http://ü.example"]),
    },
    optional={
        "enabled": st.booleans(),
        "api_key": HEADERS,
        "models": st.lists(NAMES, max_size=3),
        "headers": st.fixed_dictionaries({}, optional={"X-A": HEADERS, "x_b": HEADERS}),
        "user_agent": HEADERS,
        "extra_body": st.dictionaries(NAMES.filter(lambda name: name not in ("model", "stream")), JSON, max_size=3),
        "usage_in_stream": st.booleans(),
        "max_in_flight": st.integers(1, 10**6),
        "proxy": st.sampled_from(["", "http://p:1", "p", "http://u:p@[::1]:3"]),
        "timeouts": TIMEOUTS,
    },
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A valid configuration."""
    providers = draw(st.lists(PROVIDERS, min_size=1, max_size=4, unique_by=lambda provider: provider["name"]))
    names = st.sampled_from([provider["name"] for provider in providers])
    plain = st.fixed_dictionaries({"provider": names, "model": NAMES}, optional={"weight": st.integers(1, 9)})
    tiered = st.fixed_dictionaries(
        {"provider": names, "model": NAMES, "tier": st.integers(0, 3)}, optional={"weight": st.integers(1, 9)}
    )
    targets = st.one_of(st.lists(plain, min_size=1, max_size=4), st.lists(tiered, min_size=1, max_size=4))
    long = st.fixed_dictionaries(
        {"targets": targets},
        optional={
            "hold_back": st.sampled_from(["first_token", "20 tokens", "800ms", "full"]),
            "hedge_after": SECONDS,
            "timeouts": TIMEOUTS,
        },
    )
    return {
        "server": draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "host": st.sampled_from(["127.0.0.1", "::", "gateway.lan"]),
                    "port": st.integers(0, 65535),
                    "api_keys": st.lists(HEADERS.filter(bool), max_size=2),
                    "max_body_bytes": st.integers(1, 8388608),
                    "upstream_timeout_secs": SECONDS,
                },
            )
        ),
        "timeouts": draw(TIMEOUTS),
        "providers": providers,
        "virtual_models": draw(st.dictionaries(NAMES, st.one_of(targets, long), max_size=3)),
    }


def toml(value: object) -> str:
    """A value as TOML, tables inline."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08x}" if c in '"\\' or ord(c) < 32 else c for c in value) + '"'
    return repr(value)


def document(config: dict[str, Any]) -> str:
    return "".join(f"{key} = {toml(value)}\n" for key, value in config.items())


def escaped(value: Any) -> Any:
    """The same with every `${` written so that it stays."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return {key: escaped(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(configs())
def test_a_valid_file_gives_a_plan_that_survives_its_json(config_file: Path, config: dict[str, Any]) -> None:
    loaded = load_bytes(config_file, document(escaped(config)).encode())
    assert loaded.errors == ()
    assert loaded.plan is not None
    assert plans.decode(plans.encode(loaded.plan)) == loaded.plan


@given(configs())
def test_the_plan_says_what_the_file_says(config_file: Path, config: dict[str, Any]) -> None:
    plan = load_bytes(config_file, document(escaped(config)).encode()).plan
    assert plan is not None
    enabled = [provider for provider in config["providers"] if provider.get("enabled", True)]
    assert [provider.name for provider in plan.providers] == [provider["name"] for provider in enabled]
    for given_provider, provider in zip(enabled, plan.providers, strict=True):
        assert provider.api_key == (given_provider.get("api_key") or None)
        assert dict(provider.headers) == given_provider.get("headers", {})
    names = {provider["name"] for provider in enabled}
    for model in plan.virtual_models:
        written = config["virtual_models"][model.name]
        targets = written["targets"] if isinstance(written, dict) else written
        pairs = {(target["provider"], target["model"]) for target in targets if target["provider"] in names}
        assert {(target.provider, target.model) for target in model.targets} == pairs
        assert len(model.targets) == len(pairs)
        assert [target.tier for target in model.targets] == sorted(target.tier for target in model.targets)
        assert isinstance(model.hold_back, HoldBack)


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_answered_in_words(config_file: Path, data: bytes) -> None:
    loaded = load_bytes(config_file, data)
    assert loaded.plan is None
    assert all(error.message for error in loaded.errors)


WORDS = """
server timeouts breaker retry providers virtual_models host port bind_family api_keys admin_token name enabled base_url
api_key models headers extra_body proxy ca_file targets provider model tier weight hold_back connect request cooldown
budget max_body_bytes junk X-A
"""
KEYS = st.sampled_from(WORDS.split())
ANYTHING = st.recursive(
    st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8)
    | st.sampled_from(["${X}", "${", "${Y:-1}", "alpha", "http://a", "::1", "dual", "full"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(KEYS, ANYTHING, max_size=6), st.sampled_from([{}, {"X": "1"}]))
def test_valid_toml_of_any_shape_is_answered_in_words(raw: dict[str, Any], env: dict[str, str]) -> None:
    text = document(raw)
    assert tomllib.loads(text) == raw
    loaded = compile_document("config.toml", raw, find_places(text), env, text)
    assert bool(loaded.errors) == (loaded.plan is None)
    assert all(
        str(problem) and (problem.line or not problem.key or problem.key == "providers") for problem in loaded.errors
    )


@given(configs(), st.data())
def test_a_known_table_with_one_foreign_value_never_ends_in_a_traceback(
    config: dict[str, Any], data: st.DataObject
) -> None:
    section: Any = data.draw(st.sampled_from([config["server"], config["timeouts"], *config["providers"]]))
    section[data.draw(KEYS)] = data.draw(ANYTHING)
    loaded = compile_document("config.toml", config, Places({}, {}), {})
    assert bool(loaded.errors) == (loaded.plan is None)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_what_a_variable_holds_never_changes_the_syntax(config_file: Path, value: str) -> None:
    text = '[[providers]]\nname = "a"\nbase_url = "http://a"\nextra_body = { x = "<${V}>" }\n'
    loaded = load_bytes(config_file, text.encode(), {"V": value})
    assert loaded.plan is not None
    assert list(loaded.plan.providers[0].extra_body) == ["x"]
    assert tomllib.loads(text)["providers"][0]["extra_body"]["x"].replace("${V}", value) == f"<{value}>"


@given(st.text(max_size=30), st.dictionaries(st.sampled_from("ABC"), st.text(max_size=5)))
def test_expanding_an_escaped_text_gives_the_text(text: str, env: dict[str, str]) -> None:
    assert expand(text.replace("${", "$${"), env) == text


@given(st.lists(st.sampled_from(["${A}", "${B:-d}", "$${", "${", "x", "$", "{", "}"]), max_size=8))
def test_expansion_replaces_whole_placeholders_or_refuses(parts: list[str]) -> None:
    try:
        expanded = expand("".join(parts), {"A": "1"})
    except BadValueError:
        assert any(part in ("${", "$") for part in parts)
    else:
        assert "${A}" not in expanded or "$${" in parts or "$" in parts


SECRETS = """\
[server]
api_keys = ["sk-hush-team", '${KEY}']
admin_token = "sk-hush-admin"
[[providers]]
name = "alpha"
base_url = "https://alpha.example/v1"
api_key = "sk-hush-alpha"
headers = { X-Secret = "sk-hush-header", X-B = 'sk-hush-b' }
extra_body = { user = "sk-hush-body" }
proxy = "http://sk-hush-user:sk-hush-pass@proxy:1"
[virtual_models]
smart = [{ provider = "alpha", model = "m" }]
"""
CHARACTERS = ['"', "'", "\n", "=", "[", "]", "{", "}", ",", ".", "#", "\\", "\u201c", ":", "x", " ", "", "$"]
SLIPS = st.tuples(st.integers(0, len(SECRETS) - 1), st.integers(0, 1), st.sampled_from(CHARACTERS))


@given(SLIPS)
def test_a_mistyped_file_is_shown_without_its_secrets(config_file: Path, slip: tuple[int, int, str]) -> None:
    at, cut, new = slip
    text = SECRETS[:at] + new + SECRETS[at + cut :]
    loaded = load_bytes(config_file, text.encode(), {"KEY": "k"})
    for problem in (*loaded.errors, *loaded.warnings, *loaded.notes):
        assert "hush" not in repr(problem), (text, problem)
        if problem.excerpt is not None:
            assert 0 <= problem.excerpt.column <= len(problem.excerpt.text) + 1
