"""Where the entries of a LiteLLM config go: whose address, which variable, which model's name."""

from __future__ import annotations

from typing import Any

import pytest

from oxllm.config.litellm import Adapted, adapt

AZURE = "https://openai-eu.openai.azure.com"
"""A resource whose name begins as paths of this API do."""


def adapted(*params: dict[str, Any], name: str = "m", **rest: Any) -> Adapted:
    """An entry for each `params`, all of one name."""
    return adapt({"model_list": [{"model_name": name, "litellm_params": one} for one in params], **rest})


@pytest.mark.parametrize(
    ("params", "provider", "base", "model"),
    [
        ({"model": "claude-sonnet-4-5"}, "anthropic", "https://api.anthropic.com/v1", "claude-sonnet-4-5"),
        ({"model": "gpt-4o"}, "openai", "https://api.openai.com/v1", "gpt-4o"),
        ({"model": "openai/responses/gpt-5"}, "openai", "https://api.openai.com/v1", "gpt-5"),
        ({"model": "text-completion-openai/davinci"}, "openai", "https://api.openai.com/v1", "davinci"),
        ({"model": "m", "custom_llm_provider": "groq"}, "groq", "https://api.groq.com/openai/v1", "m"),
        ({"model": "cohere/command-a"}, "cohere", "https://api.cohere.ai/compatibility/v1", "command-a"),
        ({"model": "databricks/dbrx", "api_base": "https://d/serving"}, "databricks", "https://d/serving", "dbrx"),
        ({"model": "Qwen/Qwen3", "api_base": "http://gpu:8000/v1"}, "openai", "http://gpu:8000/v1", "Qwen/Qwen3"),
        ({"model": "azure/d", "api_base": f"{AZURE}/"}, "azure", f"{AZURE}/openai/v1", "d"),
        ({"model": "azure/d", "api_base": f"{AZURE}/openai"}, "azure", f"{AZURE}/openai/v1", "d"),
        ({"model": "azure/d", "api_base": f"{AZURE}/openai/v1"}, "azure", f"{AZURE}/openai/v1", "d"),
        ({"model": "azure/d", "api_base": f"{AZURE}/openai/deployments/x"}, "azure", f"{AZURE}/openai/v1", "d"),
        ({"model": "azure/d", "api_base": "https://gw.example/az"}, "azure", "https://gw.example/az", "d"),
        ({"model": "azure_ai/d", "api_base": "https://f.services.ai.azure.com/models"}, "azure-ai",
         "https://f.services.ai.azure.com/openai/v1", "d"),
        ({"model": "azure/d", "api_base": "os.environ/AZ"}, "azure", "${AZ}/openai/v1", "d"),
        ({"model": "azure/d"}, "azure", "${AZURE_API_BASE}/openai/v1", "d"),
        ({"model": "ollama/l", "api_base": "os.environ/OL"}, "ollama", "${OL}/v1", "l"),
        ({"model": "openai/m", "api_base": "os.environ/B"}, "openai", "${B}", "m"),
        ({"model": "anthropic/c", "api_base": "https://gw.example"}, "anthropic", "https://gw.example/v1", "c"),
        ({"model": "anthropic/c", "api_base": "https://gw.example/v1/messages"}, "anthropic",
         "https://gw.example/v1", "c"),
    ],
)  # fmt: skip
def test_an_entry_goes_where_litellm_sends_it(params: dict[str, Any], provider: str, base: str, model: str) -> None:
    out = adapted(params)
    assert out.lost == []
    assert [(p.name, p.base_url, p.models) for p in out.providers] == [(provider, base, [model])]


@pytest.mark.parametrize(
    ("prefix", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("text-completion-openai", "OPENAI_API_KEY"),
        ("together_ai", "TOGETHERAI_API_KEY"),
        ("perplexity", "PERPLEXITYAI_API_KEY"),
        ("fireworks_ai", "FIREWORKS_AI_API_KEY"),
    ],
)
def test_a_key_that_the_file_does_not_name_is_in_the_variable_where_litellm_looks(prefix: str, variable: str) -> None:
    assert adapted({"model": f"{prefix}/m"}).providers[0].api_key == f"${{{variable}}}"


def test_no_key_goes_to_a_server_that_another_one_is_for() -> None:
    """The variable that stands in for a key in the file may not be one that has a meaning already."""
    real = {"model": "openai/gpt-4o"}
    own = {"model": "openai/mine", "api_base": "http://gpu:8000/v1", "api_key": "sk-of-the-server"}
    for out in (adapted(own, real), adapted(own, {**real, "api_key": "os.environ/OPENAI_API_KEY"}), adapted(real, own)):
        keys = {provider.base_url: provider.api_key for provider in out.providers}
        assert keys == {"https://api.openai.com/v1": "${OPENAI_API_KEY}", "http://gpu:8000/v1": "${OPENAI_2_API_KEY}"}
        assert out.variables == ["OPENAI_2_API_KEY"]


@pytest.mark.parametrize("key", ["none", "EMPTY", "dummy", "not-needed"])
def test_what_stands_for_no_key_is_none(key: str) -> None:
    out = adapted({"model": "openai/m", "api_base": "http://gpu:8000/v1", "api_key": key})
    assert (out.providers[0].api_key, out.variables) == (None, [])


@pytest.mark.parametrize("prefix", ["bedrock", "vertex_ai", "sagemaker"])
def test_what_speaks_in_its_own_way_goes_nowhere(prefix: str) -> None:
    out = adapted({"model": f"{prefix}/m", "api_base": "https://own.example"})
    assert out.lost == [f"model_list: m ({prefix}/m): of {prefix} no address is known that speaks OpenAI's API"]


@pytest.mark.parametrize(
    ("name", "model", "kept"),
    [
        ("*", "openai/*", ["*"]),
        ("*", "*", ["*"]),
        ("claude-*", "anthropic/claude-*", ["*"]),
        ("openai/*", "openai/*", []),
        ("anthropic-*", "anthropic/*", []),
        ("llama-*", "groq/llama-3.3", ["llama-3.3"]),
    ],
)
def test_a_pattern_is_kept_where_the_name_that_was_asked_for_goes_up(name: str, model: str, kept: list[str]) -> None:
    out = adapted({"model": model}, name=name)
    assert [target.model for target in out.models.get(name, [])] == kept
    assert bool(out.lost) == (not kept)
    assert out.providers  # `models` of it is where the advice has the names written


def test_a_credential_of_the_list_is_used_where_it_is_named() -> None:
    values = {"api_base": AZURE, "api_key": "os.environ/EU_KEY"}
    entries = [{"credential_name": "eu", "credential_values": values}]
    out = adapted({"model": "azure/d", "litellm_credential_name": "eu"}, credential_list=entries)
    assert (out.providers[0].base_url, out.providers[0].api_key) == (f"{AZURE}/openai/v1", "${EU_KEY}")
    assert out.lost == []
    gone = adapted({"model": "azure/d", "litellm_credential_name": "us"}, credential_list=entries)
    assert gone.lost == ["model_list: m: litellm_credential_name"]


def test_what_has_no_endpoint_here_is_said() -> None:
    entry = {"model_name": "w", "litellm_params": {"model": "whisper-1"}, "model_info": {"mode": "audio_transcription"}}
    out = adapt({"model_list": [entry]})
    assert out.lost == ["model_list: w: mode audio_transcription, for which there is no endpoint here"]
    assert out.models == {}


def test_what_stands_in_for_a_clients_value_there_replaces_it_here() -> None:
    assert adapted({"model": "gpt-4o", "temperature": 0.2}).lost == [
        "model_list: m: temperature as a default (extra_body replaces what a client sends)"
    ]
    assert adapted({"model": "gpt-4o", "extra_body": {"temperature": 0.2}}).lost == []


@pytest.mark.parametrize(
    ("api_base", "base", "lost"),
    [
        (
            f"{AZURE}/openai/deployments/d/chat/completions?api-version=2024-02-01",
            f"{AZURE}/openai/v1",
            ["the query of its api_base"],
        ),
        ("https://u:sk-hush@gw.example/az/?key=sk-hush#sk-hush", "https://gw.example/az",
         ["the query of its api_base", "the user in its api_base"]),
        ("https://gw.example/az#sk-hush", "https://gw.example/az", ["the query of its api_base"]),
    ],
)  # fmt: skip
def test_a_key_in_an_address_is_not_copied(api_base: str, base: str, lost: list[str]) -> None:
    out = adapted({"model": "azure/d", "api_base": api_base})
    assert [provider.base_url for provider in out.providers] == [base]
    assert out.lost == [f"model_list: m: {part}" for part in lost]


def test_what_is_no_variables_name_is_a_key_that_the_file_holds() -> None:
    out = adapted({"model": "openai/m", "api_base": "http://gpu/v1", "api_key": "os.environ/MY-KEY"})
    assert (out.providers[0].api_key, out.variables) == ("${OPENAI_API_KEY}", ["OPENAI_API_KEY"])


def test_weights_keep_their_proportion() -> None:
    out = adapted(*({"model": f"openai/{w}", "weight": w} for w in (0.3, 0.7, 2, 0.001)))
    assert [target.weight for target in out.models["m"]] == [30, 70, 200, 1]
    out = adapted({"model": "openai/a", "weight": 0.5}, {"model": "openai/b", "weight": 1.5})
    assert [target.weight for target in out.models["m"]] == [1, 3]


def test_no_number_and_no_fallback_is_dropped_unsaid() -> None:
    given = {"timeout": "os.environ/T", "stream_timeout": 0, "weight": 0, "order": "x", "max_parallel_requests": True}
    assert adapted({"model": "openai/a", **given}).lost == [f"model_list: m: {key}" for key in sorted(given)]
    router = {"timeout": "30", "num_retries": -1, "allowed_fails": 0.5, "cooldown_time": 0, "fallbacks": {"a": "b"}}
    assert adapt({"model_list": CHAIN[:1], "router_settings": router}).lost == [
        "fallbacks, which is no list",
        *("timeout: 30", "allowed_fails: 0.5", "cooldown_time: 0", "num_retries: -1"),
    ]
    fallbacks = ["b", {"a": "b"}, {"a": [{"model": "openai/x", "api_key": "sk-hush"}, "b"]}]
    out = adapt({"model_list": CHAIN[:2], "litellm_settings": {"fallbacks": fallbacks}})
    assert out.lost == ["fallbacks: an entry that names no model", *["fallbacks: a -> what is no list of names"] * 2]
    assert [target.model for target in out.models["a"]] == ["a", "b"]


CHAIN = [{"model_name": name, "litellm_params": {"model": f"openai/{name}"}} for name in "abcdefghi"]


@pytest.mark.parametrize(
    ("given", "retry"),
    [
        ({"num_retries": 0}, {"max_attempts": 9, "same_target": 0}),
        ({"num_retries": 2}, {"max_attempts": 9}),
        ({"num_retries": 20}, {"max_attempts": 21}),
        ({}, {"max_attempts": 9}),
    ],
)
def test_tries_are_enough_for_each_fallback(given: dict[str, int], retry: dict[str, int]) -> None:
    """LiteLLM counts the tries of one group, without those that it falls back to."""
    router = {"fallbacks": [{"a": list("bcdefghi")}], **given}
    assert adapt({"model_list": CHAIN, "router_settings": router}).settings["retry"] == retry


def test_retries_are_counted_as_given_where_nothing_is_behind() -> None:
    assert adapt({"model_list": CHAIN[:1], "router_settings": {"num_retries": 0}}).settings == {
        "retry": {"max_attempts": 1, "same_target": 0}
    }
    assert adapt({"model_list": CHAIN[:1]}).settings == {}


@pytest.mark.parametrize(
    "given",
    [{"litellm_settings": {"default_fallbacks": ["c"]}}, {"router_settings": {"fallbacks": [{"*": ["c"]}]}}],
)
def test_a_fallback_for_all_is_behind_each_that_has_none_of_its_own(given: dict[str, Any]) -> None:
    given = {**given, "litellm_settings": {"fallbacks": [{"a": ["b"]}], **given.get("litellm_settings", {})}}
    everything = {"model_name": "*", "litellm_params": {"model": "openrouter/*"}}
    out = adapt({"model_list": [*CHAIN[:3], everything], **given})
    assert {name: [target.model for target in targets] for name, targets in out.models.items()} == {
        "a": ["a", "b"],
        "b": ["b", "c"],
        "c": ["c"],
        "*": ["*", "c"],
    }
    assert out.lost == []
