"""docs/operations.md, docs/security.md and the README say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from oxllm import plan
from oxllm.cli import COMMANDS
from oxllm.config.compile import load
from oxllm.gateway import difference, reload
from oxllm.gateway.client.states import DRAIN_QUIET_S, IDLE, LIMIT_S
from oxllm.gateway.observe import log, records, telemetry
from oxllm.gateway.operator import admin
from oxllm.local import FORWARDED
from tests.support.house import House

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))
OPERATIONS = " ".join((ROOT / "docs" / "operations.md").read_text(encoding="utf-8").split())
SECURITY = " ".join((ROOT / "docs" / "security.md").read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    "words",
    [
        f"the child takes over {reload.LIMIT_S:g} s",
        f"`drain_delay_secs` ({plan.Server().drain_delay:g})",
        f"`drain_timeout_secs` ({plan.Server().drain_timeout:g})",
        f"have been idle for {'a second' if DRAIN_QUIET_S == 1 else DRAIN_QUIET_S} close",
        f"**Idle connections** are closed after {LIMIT_S[IDLE]:g} s",
        f"`answer` ({plan.Timeouts().answer:g} s), all attempts",
        f"flushed, at most {telemetry.FLUSH_S:g} s",
        f"one of the last {records.RING} requests",
        f"{log.QUEUE_MAX // 1024} KiB wait for a slow reader",
        f"exports each {telemetry.EXPORT_S:g} s",
        f"{telemetry.QUEUE_MAX:,} requests wait for an export",
        ", ".join(f"`{name}`" for name in difference.RESTART),
    ],
)
def test_a_figure_of_operations_is_the_codes(words: str) -> None:
    assert words in OPERATIONS


def test_every_field_of_a_logged_request_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", page.split("| field |")[1], re.MULTILINE)))
    with House(json_log=True) as house:
        house.chat()
        house.advance(1)
        assert {"event", *told} == set(msgspec.json.decode(house.log_text()))


def test_the_events_of_the_log_are_those_of_the_code() -> None:
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "oxllm" / "gateway").rglob("*.py"))
    used = set(re.findall(r"(?:log|lines|self)\.event\((?:[\w.()]+, )?\s*\"(\w+)\"", source)) | {"request"}
    told = re.search(r"`event` is (.*?)\. Of a request", OPERATIONS)
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == used


def test_the_networks_of_security_are_the_defaults() -> None:
    allowed = [network.removesuffix("/128") for network in plan.Server().admin_allow]
    assert f"`admin_allow` ({' and '.join(allowed)})" in SECURITY


def test_every_header_that_shows_a_proxy_is_among_those_of_security() -> None:
    told = re.search(r"2\. no (.*?) header: what came through a proxy", SECURITY)
    assert told is not None
    assert [name.lower() for name in re.findall(r"`([\w-]+)`", told[1])] == list(FORWARDED)


def test_every_operator_route_is_among_those_of_security() -> None:
    told = set(re.findall(r"`/(\w+)`", SECURITY))
    routes = {path.decode().split("/")[1] for path in (*admin.ROUTES, *admin.PREFIXES)}
    assert routes <= told


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_command_in_a_document_is_one(page: Path) -> None:
    assert set(re.findall(r"(?<![/:.-])\boxllm ([a-z][a-z-]*)(?![a-z-])", _code(page))) <= set(COMMANDS)


def _code(page: Path) -> str:
    """What a page sets as code."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join([*blocks, *re.findall(r"`(oxllm [^`]+)`", text), *re.findall(r"^    (oxllm .*)$", text, re.M)])


def test_the_readme_leads_to_every_page() -> None:
    for page in PAGES:
        assert f"](docs/{page.name})" in README, page.name


def test_the_readmes_config_is_a_good_one(tmp_path: Path) -> None:
    text = re.search(r"^```toml\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert text is not None
    file = tmp_path / "config.toml"
    file.write_text(text[1], encoding="utf-8")
    loaded = load(str(file), {"OPENAI_API_KEY": "x", "GROQ_API_KEY": "y"})
    assert (loaded.errors, loaded.warnings) == ((), ())
    assert loaded.plan is not None
    assert re.findall(r'model="(\w+)"', README) == [loaded.plan.virtual_models[0].name]
