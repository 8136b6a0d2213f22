"""The control API, over HTTP, on the port of a provider."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import httpx
import pytest

from oxllm.sim.serve.control import control
from oxllm.sim.serve.local import is_local
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
    [
        (("127.0.0.1", 1), True),
        (("::1", 1, 0, 0), True),
        (("::ffff:127.0.0.1", 1, 0, 0), True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1, 0, 0), False),
        (("fe80::1%eth0", 1, 0, 0), False),
    ],
)
def test_only_this_machine_may_change_the_faults(peer: tuple[object, ...], local: bool) -> None:
    class Transport(asyncio.BaseTransport):
        def get_extra_info(self, name: str, default: object = None) -> object:
            return peer if name == "peername" else default

    assert is_local(Transport()) is local


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:{port}"},
        {"host": "LOCALHOST"},
        {"host": "127.0.0.1"},
        {"host": "127.9.9.9:{port}"},
        {"host": "[::1]:{port}"},
        {"origin": "http://127.0.0.1:{port}"},
        {"host": "localhost:{port}", "origin": "http://localhost:{port}"},
    ],
    ids=str,
)
def test_what_people_and_programs_of_this_machine_send_may_change_the_faults(
    sim: Sim, client: httpx.Client, headers: dict[str, str]
) -> None:
    told = {name: value.format(port=sim.port("beta")) for name, value in headers.items()}
    assert client.patch("/-/sim", json={"upstream": "alpha"}, headers=told).status_code == 200


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"host": "attacker.example:{port}"}, "the Host 'attacker.example:{port}' is not this address"),
        ({"host": "localhost.attacker.example"}, "Host"),
        ({"host": "127.0.0.1.attacker.example"}, "Host"),
        ({"host": "192.0.2.7:{port}"}, "Host"),
        ({"host": "[fe80::1]"}, "Host"),
        ({"host": "localhost, attacker.example"}, "Host"),
        ({"host": ""}, "Host"),
        ({"origin": "https://attacker.example"}, "this comes from a web page of https://attacker.example"),
        ({"origin": "null"}, "a web page of null"),
        ({"origin": "http://localhost:3000"}, "a web page"),
        ({"origin": "https://127.0.0.1:{port}"}, "a web page"),
        ({"host": "attacker.example", "origin": "http://attacker.example"}, "Host"),
        ({"x-forwarded-for": "127.0.0.1"}, "this carries x-forwarded-for"),
        ({"forwarded": "for=127.0.0.1"}, "this carries forwarded"),
        ({"via": "1.1 proxy"}, "this carries via"),
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/-/sim/ledger"), ("PATCH", "/-/sim"), ("POST", "/-/sim/gate/x")])
def test_a_web_page_in_a_browser_of_this_machine_may_not(
    sim: Sim, client: httpx.Client, headers: dict[str, str], why: str, method: str, path: str
) -> None:
    port = sim.port("beta")
    told = {name: value.format(port=port) for name, value in headers.items()}
    answer = client.request(method, path, content=b'{"upstream": "alpha", "faults": ["500"]}', headers=told)
    assert (answer.status_code, why.format(port=port) in answer.json()["error"]) == (403, True), answer.text
    assert answer.json()["error"].endswith(f"; ask http://localhost:{port}{path}")
    assert client.get("/-/sim").json()["upstreams"]["alpha"]["patched"] is False


def test_a_name_that_it_was_told_to_listen_on_is_its_own() -> None:
    with Sim("alpha", host="localhost", control=control) as sim:
        assert httpx.get(f"http://localhost:{sim.port('alpha')}/-/sim").status_code == 200


def test_an_address_of_ipv6_is_its_own() -> None:
    with Sim("alpha", host="::1", control=control) as sim:
        assert httpx.get(f"http://[::1]:{sim.port('alpha')}/-/sim").status_code == 200


def test_who_listens_everywhere_may_be_asked_on_ipv4() -> None:
    with Sim("alpha", host="::", control=control) as sim:
        assert httpx.get(f"http://127.0.0.1:{sim.port('alpha')}/-/sim").status_code == 200


def test_a_page_of_its_own_over_tls_may_ask() -> None:
    with Sim("alpha", tls=True, control=control) as sim:
        trusting = ssl.create_default_context(cafile=str(sim.ca))
        url = sim.url("alpha").removesuffix("/v1")
        assert httpx.get(url + "/-/sim", headers={"origin": url}, verify=trusting).status_code == 200
        plain = url.replace("https", "http")
        assert httpx.get(url + "/-/sim", headers={"origin": plain}, verify=trusting).status_code == 403


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
