"""An API and its paths are known wherever they have to be (docs/architecture.md, "Adding something")."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from oxllm.cli import probe
from oxllm.config import checks, schema
from oxllm.core.protocols.endpoint import ANSWER_ID
from oxllm.core.protocols.registry import PLACES, named, place_of
from oxllm.plan import PROTOCOLS
from oxllm.sim.provider import protocols as simulated

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_path_leads_to_its_api_and_the_simulator_answers_it(name: str) -> None:
    for endpoint in named(name).endpoints:
        for prefix in ("", "/v1"):
            assert place_of(f"{prefix}{endpoint.path}".encode()) == name
        assert simulated.find(endpoint.method, endpoint.path.replace(ANSWER_ID, "some")) is not None
    assert place_of(b"/v1/messagesx") is None


def test_no_base_url_ends_in_one_of_them_unseen() -> None:
    assert {path.decode() for path in PLACES} <= set(checks.ENDPOINTS)


def test_a_provider_may_list_each_api() -> None:
    assert set(get_args(schema.Protocol)) == set(PROTOCOLS)


def test_a_probe_asks_for_each_api_that_a_server_can_be_asked_for() -> None:
    assert set(probe.ENDPOINTS) == set(PROTOCOLS) - {"json"}


def test_the_page_names_each_api_with_its_paths() -> None:
    for path, name in PLACES.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | ")]
        assert f"`/v1{path.decode()}`" in row
