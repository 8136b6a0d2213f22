"""Whatever is in a LiteLLM config: what is written for it is TOML, and nothing in it is of a wrong kind."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from oxllm.config.compile import compile_document
from oxllm.config.files import parse_toml
from oxllm.config.lines import find_places
from oxllm.config.litellm import BODY, PASSED, adapt, render
from oxllm.config.litellm_places import BASES

TEXTS = st.text(max_size=8) | st.sampled_from(["${", "$${X}", "${X:-y}"])
SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.binary(max_size=3)),
    *(st.dates(), st.datetimes(), st.sampled_from(["os.environ/X", "http://gpu:11434", "https://a.example/v1"])),
)
KEYS = st.one_of(st.text(max_size=5), st.integers(), st.none(), st.sampled_from(["model", "stream", "n"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3) | st.sets(st.text(max_size=3)),
    max_leaves=6,
)
"""What YAML can have."""
MODELS = st.builds(
    lambda prefix, name: f"{prefix}{name}",
    st.sampled_from(["", *(f"{base}/" for base in sorted(BASES))]),
    TEXTS.filter(bool),
)
PARAMS = st.builds(
    lambda model, others: {**others, "model": model},
    MODELS,
    st.dictionaries(st.sampled_from(sorted((PASSED | BODY | {"extra_body"}) - {"model"})), VALUES, max_size=5),
)
ENTRIES = st.builds(
    lambda name, params: {"model_name": name, "litellm_params": params},
    TEXTS | st.sampled_from(["a", "b"]),
    PARAMS,
)
NAMES = (
    *("fallbacks", "model_group_alias", "timeout", "stream_timeout", "allowed_fails", "cooldown_time", "num_retries"),
    *("routing_strategy", "request_timeout"),
)
SETTINGS = st.dictionaries(st.sampled_from(NAMES), VALUES)
CONFIGS = st.fixed_dictionaries(
    {"model_list": st.lists(ENTRIES, min_size=1, max_size=4)},
    optional={
        "router_settings": SETTINGS,
        "litellm_settings": SETTINGS,
        "general_settings": st.dictionaries(st.sampled_from(["master_key", "x"]), VALUES),
    },
)


@given(CONFIGS)
def test_what_is_written_for_it_is_a_config_whatever_stands_in_it(config: dict[str, Any]) -> None:
    """Where a provider is, and which variable has its key, it repeats."""
    adapted = adapt(config)
    text = render(adapted, "a\nb")
    document = parse_toml(text)
    if adapted.providers:
        env = {**dict.fromkeys(re.findall(r"(?<!\$)\$\{(\w+)\}", text), "k"), "X": "https://x.example/v1"}
        errors = compile_document("f", document, find_places(text), env, text).errors
        assert {error.key.rpartition(".")[2] for error in errors} <= {"base_url", "api_key"}, errors
