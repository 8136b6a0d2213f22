"""The control API, over HTTP, on the port of a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from oxllm.sim.serve.connection import is_local
from oxllm.sim.serve.control import control
from oxllm.sim.testing import Sim

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
def sim() -> Iterator[Sim]:
    with Sim("alpha", "beta", control=control) as sim:
        yield sim


@pytest.fixture
def client(sim: Sim) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{sim.port('beta')}") as client:
        yield client


def test_state_is_told_on_any_providers_port(sim: Sim, client: httpx.Client) -> None:
    state = client.get("/-/sim").json()
    assert state["seed"] == 7
    assert state["upstreams"]["alpha"]["url"] == sim.url("alpha")
    assert state["upstreams"]["alpha"]["port"] == "open"


def test_a_patch_with_a_ttl_strikes_and_is_taken_back(sim: Sim, client: httpx.Client) -> None:
    state = client.patch("/-/sim", json={"upstream": "alpha", "faults": ["500"], "ttl": "1s"}).json()
    assert (state["upstreams"]["alpha"]["patched"], state["upstreams"]["alpha"]["scenes"]) == (True, ["patch"])
    assert httpx.post(sim.url("alpha") + "/chat/completions", json=CHAT).status_code == 500
    while client.get("/-/sim").json()["upstreams"]["alpha"]["patched"]:
        pass
    assert httpx.post(sim.url("alpha") + "/chat/completions", json=CHAT).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"upstream": "gamma"}, 404, "there are alpha, beta"),
        ({"upstream": "alpha", "faults": ["cutt"]}, 400, "did you mean 'cut'?"),
        ({"upstream": "alpha", "ttl": "soon"}, 400, "is not a duration"),
        ({"upstream": "alpha", "pace": "quick"}, 400, "write ttft, itl, out or load"),
        ({"upstream": "alpha", "limit": "9"}, 400, "write 60 rpm"),
        ({"upstream": "alpha", "fault": []}, 400, "unknown field `fault`"),
        ({"upstream": "alpha", "faults": ["500 60%", "429 60%"]}, 400, "its shares add up to 120%"),
        ({"upstream": "alpha", "faults": ["500", "429"]}, 400, "always strikes, so nothing after it can"),
        ({"upstream": "alpha", "faults": ["tls-abort"]}, 400, "need --tls"),
    ],
)
def test_a_bad_patch_is_refused(client: httpx.Client, body: dict[str, object], status: int, words: str) -> None:
    answer = client.patch("/-/sim", json=body)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text


def test_a_patch_says_what_it_plays_and_all_can_be_taken_back(client: httpx.Client) -> None:
    for name in ("alpha", "beta"):
        state = client.patch("/-/sim", json={"upstream": name, "faults": ["500 30%", "cut@token:3"]}).json()
        assert state["upstreams"][name]["plays"] == ["500 30%", "cut@token:3"]
    state = client.delete("/-/sim").json()
    assert [one["patched"] for one in state["upstreams"].values()] == [False, False]


@pytest.mark.parametrize(
    ("peer", "local"),
    [(("127.0.0.1", 1), True), (("::1", 1, 0, 0), True), (("10.0.0.1", 1), False), (("fe80::1%eth0", 1, 0, 0), False)],
)
def test_only_this_machine_may_change_the_faults(peer: tuple[object, ...], local: bool) -> None:
    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peer if name == "peername" else default

    assert is_local(Transport()) is local


def test_the_ledger_is_told(sim: Sim, client: httpx.Client) -> None:
    httpx.post(sim.url("alpha") + "/chat/completions", json=CHAT, headers={"x-oxllm-sim": "429~2s"})
    records = client.get("/-/sim/ledger", params={"upstream": "alpha"}).json()
    assert [(record["fault"], record["status"], record["hint"]) for record in records] == [("429~2s", 429, 2.0)]
    assert client.get("/-/sim/ledger", params={"upstream": "beta"}).json() == []
    assert client.get("/-/sim/ledger", params={"upstream": "x"}).status_code == 404


def test_a_gate_is_opened(sim: Sim, client: httpx.Client) -> None:
    stall = {"x-oxllm-sim": "stall@token:0~gate:go"}
    with httpx.stream("POST", sim.url("alpha") + "/chat/completions", json=CHAT, headers=stall) as answer:
        assert client.post("/-/sim/gate/go").json() == {"waiting": 1}
        assert "[DONE]" in answer.read().decode()
