"""Which names there are, for clients of either kind, and what a name may mean."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from oxllm import __version__
from oxllm import plan as plans
from tests.support.house import House, answer, plan_of
from tests.unit.gateway.test_messages import MESSAGE, ask, error_of, plan

VERSION = "anthropic-version: 2023-06-01"


def many(count: int) -> plans.Plan:
    made = plan("alpha")
    target = made.virtual_models[0].targets
    models = tuple(plans.VirtualModel(f"m-{i:03}", target) for i in range(count))
    return msgspec.structs.replace(made, virtual_models=(*models, plans.VirtualModel("any-*", target)))


def ids(page: Any) -> list[str]:
    return [model["id"] for model in page["data"]]


def test_a_client_of_anthropics_gets_their_list() -> None:
    with House(many(2)) as house:
        page = house.get("/v1/models", VERSION).json()
        assert page == {
            "data": [
                {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"}
                for name in ("alpha/m", "m-000", "m-001")
            ],
            "has_more": False,
            "first_id": "alpha/m",
            "last_id": "m-001",
        }
        assert house.get("/v1/models/m-001", VERSION).json() == page["data"][2]
        assert error_of(house.get("/v1/models/other", VERSION)) == (404, "not_found_error")
        assert house.get("/v1/models").json()["object"] == "list"


def test_pages_forwards() -> None:
    with House(many(45)) as house:
        found, after = [], ""
        while True:
            page = house.get(f"/v1/models?limit=20{after}", VERSION).json()
            found += ids(page)
            after = f"&after_id={page['last_id'].replace('/', '%2F')}"
            if not page["has_more"]:
                break
        assert found == ["alpha/m", *(f"m-{i:03}" for i in range(45))]


def test_pages_backwards() -> None:
    with House(many(45)) as house:
        page = house.get("/v1/models?before_id=m-010&limit=4", VERSION).json()
        assert (ids(page), page["has_more"]) == ([f"m-{i:03}" for i in range(6, 10)], True)
        for limit in (3, 4):
            page = house.get(f"/v1/models?before_id=m-002&limit={limit}", VERSION).json()
            assert (ids(page), page["has_more"]) == (["alpha/m", "m-000", "m-001"], False)


def test_a_page_has_twenty_and_may_be_empty() -> None:
    with House(many(45)) as house:
        assert len(ids(house.get("/v1/models", VERSION).json())) == 20
        page = house.get("/v1/models?after_id=zzz", VERSION).json()
        assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(("limit", "listed"), [(1, 1), (46, 46), (1000, 46)])
def test_a_page_has_as_many_as_are_asked_for(limit: int, listed: int) -> None:
    with House(many(45)) as house:
        page = house.get(f"/v1/models?limit={limit}", VERSION).json()
        assert (len(ids(page)), page["has_more"]) == (listed, listed < 46)


@pytest.mark.parametrize("limit", ["0", "1001", "x", "-1", "9" * 40, "9" * 5000, "%31%30%30%31"])
def test_a_limit_out_of_range_is_refused(limit: str) -> None:
    with House(many(1)) as house:
        assert error_of(house.get(f"/v1/models?limit={limit}", VERSION)) == (400, "invalid_request_error")


def test_patterns_are_not_listed_and_mean_what_they_match() -> None:
    with House(many(1)) as house:
        assert "any-*" not in ids(house.get("/v1/models?all=1").json())
        assert house.get("/v1/models/any-thing").json()["id"] == "any-thing"
        house.providers["alpha"].replies = [answer(json.dumps(MESSAGE).encode())]
        assert ask(house, model="any-thing").response.status == 200
        assert house.get("/v1/models/none").status == 404


@pytest.mark.parametrize("fields", [(), ("Authorization: Bearer wrong",)])
def test_whoever_looks_whether_anybody_is_there_is_told_what_this_is(fields: tuple[str, ...]) -> None:
    with House(plan_of("alpha", api_keys=("key",))) as house:
        found = house.get("/", *fields)
        assert (found.status, found.text.count("\n")) == (200, 1)
        assert f"oxllm {__version__}" in found.text
        head = house.ask("HEAD", "/", *fields)
        assert (head.status, head.body) == (200, b"")
        assert house.ask("POST", "/").status == 405
