"""What a LiteLLM config means here."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from oxllm.cli import main
from oxllm.config.compile import load
from tests.unit.cli.conftest import Run

LITELLM = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      weight: 2
      rpm: 100
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://corp.openai.azure.com/
      api_key: sk-hush-azure
      timeout: 30
  - model_name: claude
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY, temperature: 0.2}
  - model_name: local
    litellm_params: {model: ollama_chat/llama3.2, api_base: "http://gpu:11434"}
  - model_name: bed
    litellm_params: {model: bedrock/claude}
  - model_name: "openai/*"
    litellm_params: {model: "openai/*", api_key: os.environ/OPENAI_API_KEY}
router_settings:
  routing_strategy: latency-based-routing
  num_retries: 2
  allowed_fails: 3
  cooldown_time: 30
  fallbacks: [{"gpt-4o": ["claude", "nope"]}]
  model_group_alias: {"gpt-4": "gpt-4o"}
litellm_settings: {drop_params: true, request_timeout: 120}
general_settings: {master_key: sk-hush-master, database_url: "postgres://x"}
"""


@pytest.fixture
def litellm(run: Run, tmp_path: Path) -> Path:
    file = tmp_path / "litellm.yaml"
    file.write_text(LITELLM)
    return file


def test_a_litellm_config_means_the_same_here(run: Run, litellm: Path) -> None:
    assert run("adapt", str(litellm), "-o", "config.toml").exit_code == 0
    env = dict.fromkeys(("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_API_KEY", "OXLLM_API_KEY"), "k")
    plan = load("config.toml", env).plan
    assert plan is not None
    assert [(p.name, p.base_url) for p in plan.providers] == [
        ("openai", "https://api.openai.com/v1"),
        ("azure", "https://corp.openai.azure.com/openai/v1"),
        ("anthropic", "https://api.anthropic.com/v1"),
        ("ollama-chat", "http://gpu:11434/v1"),
    ]
    models = {
        model.name: [(t.provider, t.model, t.tier, t.weight) for t in model.targets] for model in plan.virtual_models
    }
    assert (
        models["gpt-4o"]
        == models["gpt-4"]
        == [
            ("openai", "gpt-4o", 1, 2),
            ("azure", "gpt-4o-eu", 1, 1),
            ("anthropic", "claude-sonnet-4-5", 2, 1),
        ]
    )
    assert set(models) == {"gpt-4o", "gpt-4", "claude", "local"}
    assert (plan.retry.max_attempts, plan.breaker.failures, plan.breaker.cooldown) == (3, 4, 30)
    assert (plan.providers[0].timeouts.answer, plan.providers[1].timeouts.answer) == (120, 30)
    assert plan.providers[2].extra_body == {"temperature": "0.2"}
    assert plan.providers[3].api_key is None
    assert plan.server.api_keys == ("k",)


def test_it_copies_no_key_and_says_what_it_lost(run: Run, litellm: Path) -> None:
    result = run("adapt", str(litellm))
    assert "sk-hush" not in result.output
    assert result.stderr.splitlines() == [
        "not carried over: model_list: gpt-4o: rpm",
        "not carried over: model_list: claude: temperature as a default (extra_body replaces what a client sends)",
        "not carried over: model_list: bed (bedrock/claude): of bedrock no address is known that speaks OpenAI's API",
        "not carried over: model_list: openai/*: write the names into `models` of openai, and openai/NAME reaches them",
        "not carried over: fallbacks: gpt-4o -> nope, which is no model of model_list",
        "not carried over: routing_strategy: latency-based-routing (here: weighted round robin inside a tier)",
        "not carried over: general_settings: database_url",
        "not carried over: litellm_settings: drop_params",
        f"set AZURE_API_KEY to the key that stands in {litellm}",
        f"set OXLLM_API_KEY to the key that stands in {litellm}",
    ]
    assert all(f"#   {line[18:]}" in result.stdout for line in result.stderr.splitlines()[:8])


def test_any_name_may_mean_one_model(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "litellm.yaml"
    model = "model: ollama/llama3.2, api_base: 'http://gpu:11434'"
    file.write_text(f"model_list:\n  - model_name: 'llama/*'\n    litellm_params: {{{model}}}\n")
    assert run("adapt", str(file), "-o", "config.toml").stderr == ""
    plan = load("config.toml", {}).plan
    assert plan is not None
    assert [(m.name, [t.model for t in m.targets]) for m in plan.virtual_models] == [("llama/*", ["llama3.2"])]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "file:1: not valid YAML: "),
        ("a: 1", "file: not a LiteLLM config: it has no model_list"),
        ("- 1", "file: not a LiteLLM config"),
        ("a: !!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_is_no_config_of_litellm_is_refused(run: Run, text: str, said: str) -> None:
    Path("file").write_text(text)
    result = run("adapt", "file")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_whatever_is_in_its_places_nothing_breaks(run: Run) -> None:
    for value in ("null", "7", "[]", "{}", "[7]", "[{}]", '[{"model_name": 1, "litellm_params": 2}]', '"x"'):
        for text in (
            f"model_list: []\nrouter_settings: {value}\nlitellm_settings: {value}\n",
            f"model_list: [{value}]\ngeneral_settings: {value}\n",
        ):
            Path("file").write_text(text)
            result = run("adapt", "file", "-o", "config.toml")
            assert result.exit_code == 1
            assert result.stderr.endswith("oxllm: no provider of file could be carried over\n")
            assert not Path("config.toml").exists()


def test_entries_that_cannot_be_read_are_listed(run: Run) -> None:
    entries = (
        "7",
        "{model_name: a}",
        "{model_name: b, litellm_params: [x]}",
        "{model_name: c, litellm_params: {api_base: 'http://c'}}",
        "{model_name: d, litellm_params: {model: 7}}",
        "{litellm_params: {model: openai/e}}",
    )
    Path("file").write_text("model_list:\n" + "".join(f"  - {entry}\n" for entry in entries))
    result = run("adapt", "file")
    assert "[[providers]]" not in result.stdout
    assert result.stderr.splitlines() == [
        "not carried over: model_list: entry 1: the entry is no mapping",
        "not carried over: model_list: a: it has no litellm_params",
        "not carried over: model_list: b: litellm_params is no mapping",
        "not carried over: model_list: c: litellm_params has no model",
        "not carried over: model_list: d: litellm_params.model is no text",
        "not carried over: model_list: entry 6: it has no model_name",
        "oxllm: no provider of file could be carried over",
    ]


def test_a_dash_is_what_another_program_writes(run: Run, litellm: Path) -> None:
    piped = CliRunner().invoke(main, ["adapt", "-"], prog_name="oxllm", input=litellm.read_bytes())
    named = run("adapt", str(litellm))
    assert (piped.exit_code, named.exit_code) == (0, 0)
    assert piped.stdout == named.stdout.replace(f"adapt {litellm}", "adapt -")
    refused = CliRunner().invoke(main, ["adapt", "-"], prog_name="oxllm", input=b"a: [1")
    assert (refused.exit_code, refused.stderr.partition(": not")[0]) == (1, "oxllm: -:1")


def test_nothing_is_written_over_unasked(run: Run, litellm: Path, config: Path) -> None:
    assert run("adapt", str(litellm), "-o", "config.toml").exit_code == 1
    assert run("adapt", str(litellm), "-o", "config.toml", "--force").exit_code == 0
    assert run("adapt", "none.yaml").stderr == "oxllm: none.yaml cannot be read: no such file or directory\n"
    assert run("adapt", ".").stderr == "oxllm: . cannot be read: is a directory\n"


ODD = """\
model_list:
  - model_name: "gpt \\ud83d\\ude00 \\ud83d"
    litellm_params:
      {model: openai/gpt-4o, order: .inf, weight: .nan, timeout: true, stream_timeout: .inf, max_parallel_requests: 0}
  - model_name: heavy
    litellm_params: {model: openai/gpt-4o, order: 1.5, weight: 1000000000000000000000000000000}
  - model_name: "lost\\n[server]\\nadmin_token = 'x'"
    litellm_params: {model: bedrock/claude}
router_settings: {model_group_alias: {a: [gpt], b: {model: {}}}, timeout: .inf, cooldown_time: true, num_retries: true}
litellm_settings: {fallbacks: [[gpt], {heavy: [{x: y}]}]}
"""


def test_what_yaml_has_where_a_number_or_a_name_belongs_is_left_out(run: Run) -> None:
    """And a name has whole characters: JSON writes one over U+FFFF as two escapes, which YAML's parser leaves apart."""
    Path("odd.yaml").write_text(ODD, encoding="utf-8")
    result = run("adapt", "odd.yaml", "-o", "config.toml")
    assert result.exit_code == 0, result.output
    loaded = load("config.toml", {"OPENAI_API_KEY": "k"})
    assert loaded.plan is not None, loaded.errors
    assert [model.name for model in loaded.plan.virtual_models] == ["gpt \U0001f600 \ufffd", "heavy"]
    assert [provider.max_in_flight for provider in loaded.plan.providers] == [None]
    assert loaded.plan.server.admin_token is None
    assert "# " + "  model_list: lost [server] admin_token = 'x' (bedrock/claude)" in Path("config.toml").read_text(
        "utf-8"
    )


def test_what_a_body_cannot_have_is_left_out_and_listed(run: Run) -> None:
    """YAML has null, dates and .nan, and any kind of key; and `${` is no variable in it."""
    body = "{logit_bias: {50256: -100}, since: 2026-01-01, deep: [{a: null}], p: .nan, stream: true, say: '${HOME}'}"
    params = f"{{model: openai/gpt-4o, max_tokens: null, seed: 7, extra_body: {body}}}"
    entries = [
        f"{{model_name: x, litellm_params: {params}}}",
        '{model_name: "a\\x07", litellm_params: {model: openai/y}}',
    ]
    Path("body.yaml").write_text(f"model_list: [{', '.join(entries)}]")
    result = run("adapt", "body.yaml", "-o", "config.toml")
    assert result.stderr.splitlines() == [
        *(f"not carried over: model_list: x: {key} of the body" for key in ("since", "deep", "p", "stream")),
        "not carried over: model_list: x: seed as a default (extra_body replaces what a client sends)",
        "not carried over: model_list: a (openai/y): the name holds a control character",
    ]
    plan = load("config.toml", {"OPENAI_API_KEY": "k"}).plan
    assert plan is not None
    assert plan.providers[0].extra_body == {"seed": "7", "logit_bias": '{"50256":-100}', "say": '"${HOME}"'}


LAUGHS = "".join(f"{key}: &{key} [{', '.join([f'*{of}'] * 9)}]\n" for of, key in itertools.pairwise("abcdefghij"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "model_list: [{model_name: x, litellm_params: {model: openai/y, extra_body: &c {d: *c}}}]",
            "nested too deeply",
        ),
        ("model_list: &a [*a]", "nested too deeply"),
        (f"a: &a [x, x, x]\n{LAUGHS}model_list: *j", "more than 1000000 values"),
    ],
)
def test_aliases_without_end_are_told(run: Run, text: str, words: str) -> None:
    Path("endless.yaml").write_text(text, encoding="utf-8")
    result = run("adapt", "endless.yaml")
    assert (result.exit_code, words in result.stderr) == (1, True), result.stderr
