"""From file to Plan."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trustme

from oxllm import plan as plans
from oxllm.config.reference import SECTIONS
from oxllm.plan import HoldBack, Plan, Provider, Proxy, Target, Timeouts, VirtualModel
from tests.unit.config.conftest import Load

RUST = """\
[server]
host = "127.0.0.1"
port = 8080
otel_endpoint = "http://127.0.0.1:4318"

[[providers]]
name = "groq-strong"
enabled = true
base_url = "https://api.groq.com/openai/v1/"
api_key = "${GROQ_API_KEY}"
models = ["llama-3.3-70b-versatile"]

[[providers]]
name = "ollama-fallback"
enabled = true
base_url = "http://localhost:11434/v1/"
api_key = "ollama"
models = ["granite4:micro"]

[virtual_models]
smart = [
  { provider = "groq-strong",     model = "llama-3.3-70b-versatile" },
  { provider = "ollama-fallback",  model = "granite4:micro" },
]
"""


def plan_of(load_text: Load, text: str, **env: str) -> Plan:
    loaded = load_text(text, env)
    assert loaded.errors == ()
    assert loaded.plan is not None
    return loaded.plan


def test_a_file_of_the_rust_oxllm_loads_unchanged(load_text: Load) -> None:
    plan = plan_of(load_text, RUST, GROQ_API_KEY="gsk-1")
    assert plan.server.listen == ("127.0.0.1",)
    assert plan.server.otel_endpoint == "http://127.0.0.1:4318"
    assert plan.providers[0].base_url == "https://api.groq.com/openai/v1"
    assert plan.providers[0].api_key == "gsk-1"
    assert plan.virtual_models == (
        VirtualModel(
            "smart",
            (
                Target("groq-strong", "llama-3.3-70b-versatile", tier=1),
                Target("ollama-fallback", "granite4:micro", tier=2),
            ),
        ),
    )


def test_an_empty_key_or_endpoint_is_none(load_text: Load) -> None:
    plan = plan_of(
        load_text, '[server]\notel_endpoint = ""\n[[providers]]\nname="a"\nbase_url="http://a"\napi_key=""\n'
    )
    assert plan.server.otel_endpoint is None
    assert plan.providers[0].api_key is None


EVERYTHING = """\
[server]
host = "::1"
port = 0
otel_endpoint = "http://collector"
api_keys = ["${K}"]
admin_token = "${K}"
admin_allow = ["10.1.0.0/16"]
admin_hosts = ["Gateway.Example.com"]
health_allow = ["10.0.0.0/8"]
cors_origins = ["https://Chat.example.com/"]
predictive_cooldown = false
max_body_bytes = 1
max_connections = 2
max_in_flight = 3
max_buffered_bytes = 4
drain_timeout_secs = 5
drain_delay_secs = 6
[timeouts]
connect = 16
first_byte = 17
idle = 18
request = 19
[breaker]
failures = 7
cooldown = 8
cooldown_max = 9
[retry]
same_target = 0
max_attempts = 10
budget = 1
[[providers]]
name = "alpha"
base_url = "https://alpha"
api_key = "${K}"
models = ["big-1"]
proxy = "http://proxy:3128"
timeouts = { answer = 12 }
headers = { X-Team = "search" }
user_agent = "acme/2"
extra_body = { reasoning = { effort = "low" }, big = 9007199254740993, f = 1.0, t = "ü" }
usage_in_stream = true
max_in_flight = 11
protocols = ["messages"]
auth = "bearer"
[virtual_models."big-*"]
targets = [{ provider = "alpha", model = "*", tier = 2, weight = 13 }]
hold_back = "full"
hedge_after = 14
timeouts = { request = 15 }
affinity = false
content_filter_failover = true
"""
CLOCKS = Timeouts(16.0, 17.0, 12.0, 18.0)
ELSEWHERE = {"bind_family", "upstream_timeout_secs", "api_key_file", "ca_file", "enabled"}
"""Settings that exclude others or need files: they have tests of their own."""


def test_every_setting_reaches_the_plan(load_text: Load) -> None:
    plan = plan_of(load_text, EVERYTHING, K="k")
    assert plan.server == plans.Server(
        "::1", 0, "ipv6", ("::1",), "http://collector", ("k",), "k", ("10.1.0.0/16",), ("gateway.example.com",),
        ("10.0.0.0/8",), ("https://chat.example.com",), False, 1, 2, 3, 4, 5.0, 6.0,
    )  # fmt: skip
    assert plan.breaker == plans.Breaker(7, 8.0, 9.0)
    assert plan.retry == plans.Retry(0, 10, 1.0)
    assert plan.providers == (
        Provider(
            name="alpha",
            tls=True,
            host="alpha",
            port=443,
            path="",
            api_key="k",
            models=("big-1",),
            headers=(("X-Team", "search"),),
            user_agent="acme/2",
            extra_body={"reasoning": '{"effort":"low"}', "big": "9007199254740993", "f": "1.0", "t": '"ü"'},
            usage_in_stream=True,
            max_in_flight=11,
            protocols=("messages",),
            auth="bearer",
            proxy=Proxy("proxy", 3128),
            timeouts=CLOCKS,
        ),
    )
    target = Target("alpha", "*", 2, 13, CLOCKS)
    assert plan.virtual_models == (VirtualModel("big-*", (target,), HoldBack(full=True), 14.0, 15.0, False, True),)
    assert plan.request == 19.0


def test_every_setting_is_among_those_that_reach_the_plan(load_text: Load) -> None:
    written = set(re.findall(r"(\w+) =", EVERYTHING))
    for title, section in SECTIONS:
        assert section.model_fields.keys() - ELSEWHERE <= written, title
    plan = plan_of(load_text, EVERYTHING, K="k")
    for part in (plan.server, plan.breaker, plan.retry, *plan.providers, *plan.virtual_models, CLOCKS):
        for field in msgspec.structs.fields(part):
            assert field.name in ELSEWHERE or getattr(part, field.name) != field.default, field.name


@pytest.mark.parametrize(
    ("breaker", "bounds"),
    [
        ("cooldown = 30", (30.0, 30.0)),
        ("cooldown_max = 2", (2.0, 2.0)),
        ("cooldown = 1", (1.0, 20.0)),
        ("cooldown_max = 60", (5.0, 60.0)),
    ],
)
def test_a_default_gives_way_to_what_is_written(load_text: Load, breaker: str, bounds: tuple[float, float]) -> None:
    text = (
        f'[server]\nmax_buffered_bytes = 1000000\n[breaker]\n{breaker}\n[[providers]]\nname="a"\nbase_url="http://a"\n'
    )
    plan = plan_of(load_text, text)
    assert (plan.breaker.cooldown, plan.breaker.cooldown_max) == bounds
    assert plan.server.max_body_bytes == 1_000_000


def test_timeouts_are_the_models_over_the_providers_over_the_files(load_text: Load) -> None:
    plan = plan_of(
        load_text,
        """
        [server]
        upstream_timeout_secs = 30
        [timeouts]
        idle = 7
        request = 100
        [[providers]]
        name = "a"
        base_url = "http://a"
        timeouts = { answer = 50, connect = 1 }
        [[providers]]
        name = "b"
        base_url = "http://b"
        [virtual_models.m]
        targets = [{ provider = "a", model = "x" }, { provider = "b", model = "x" }]
        timeouts = { connect = 2, request = 200 }
        """,
    )
    assert plan.request == 100
    assert plan.providers[0].timeouts == Timeouts(connect=1, first_byte=30, answer=50, idle=7)
    assert plan.providers[1].timeouts == Timeouts(connect=5, first_byte=30, answer=30, idle=7)
    assert plan.virtual_models[0].request == 200
    assert plan.virtual_models[0].targets[0].timeouts == Timeouts(connect=2, first_byte=30, answer=50, idle=7)


def test_tiers_are_list_order_or_as_written_and_disabled_targets_are_left_out(load_text: Load) -> None:
    plan = plan_of(
        load_text,
        """
        [[providers]]
        name = "a"
        base_url = "http://a"
        [[providers]]
        name = "off"
        base_url = "http://a"
        enabled = false
        [virtual_models]
        plain = [{ provider = "a", model = "1" }, { provider = "off", model = "2" }, { provider = "a", model = "3" }]
        tiers = [{ provider = "a", model = "1", tier = 2 }, { provider = "a", model = "2", tier = 1, weight = 3 }]
        """,
    )
    plain, tiers = plan.virtual_models
    assert [(target.model, target.tier) for target in plain.targets] == [("1", 1), ("3", 3)]
    assert [(target.model, target.tier, target.weight) for target in tiers.targets] == [("2", 1, 3), ("1", 2, 1)]
    assert plan.disabled == ("off",)


@pytest.mark.parametrize(
    ("text", "hold_back"),
    [
        ("first_token", HoldBack()),
        ("20 tokens", HoldBack(tokens=20)),
        ("1 token", HoldBack(tokens=1)),
        ("800ms", HoldBack(seconds=0.8)),
        ("full", HoldBack(full=True)),
    ],
)
def test_hold_back_has_four_forms(load_text: Load, text: str, hold_back: HoldBack) -> None:
    source = f"""
        [[providers]]
        name = "a"
        base_url = "http://a"
        [virtual_models.m]
        targets = [{{ provider = "a", model = "x" }}]
        hold_back = "{text}"
        hedge_after = 4
        """
    (model,) = plan_of(load_text, source).virtual_models
    assert model.hold_back == hold_back
    assert model.hedge_after == 4.0


def test_files_are_relative_to_the_configuration(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-1\n")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    text = '[[providers]]\nname="a"\nbase_url="https://a"\napi_key_file="key"\nca_file="ca.pem"\n'
    (provider,) = plan_of(load_text, text).providers
    assert provider.api_key == "sk-1"
    assert provider.ca_file == str(tmp_path / "ca.pem")


def test_an_empty_key_file_is_an_error(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    (error,) = load_text('[[providers]]\nname="a"\nbase_url="https://a"\napi_key_file="key"\n').errors
    assert error.message == "is an empty file"


def run_child(file: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-P", "-m", "oxllm.config.compile", str(file)]
    return subprocess.run(command, env={**os.environ, **env}, capture_output=True, check=False)


def test_the_reload_child_prints_the_plan(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(RUST)
    child = run_child(file, GROQ_API_KEY="gsk-1")
    assert (child.returncode, child.stderr) == (0, b"")
    assert plans.decode(child.stdout).source == str(file)


def test_the_reload_child_prints_all_errors_as_json(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[server]\nport = 1e5\nprot = 2\n")
    child = run_child(file)
    assert (child.returncode, child.stderr) == (1, b"")
    errors = json.loads(child.stdout)["errors"]
    assert [error["line"] for error in errors] == [None, 2, 3]
    assert errors[2] == {
        "file": str(file),
        "line": 3,
        "key": "server.prot",
        "message": "is not a key that oxllm knows",
        "help": "did you mean 'port'?",
        "text": f"{file}:3: error: server.prot: is not a key that oxllm knows; did you mean 'port'?",
    }


def test_the_reload_child_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    script = (
        "import sys, oxllm.config.compile as c; c.load('none', {}); "
        "print(sorted({'click', 'httpx', 'asyncio', 'oxllm.cli', 'ssl'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"
