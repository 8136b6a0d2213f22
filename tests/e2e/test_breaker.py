"""A breaker over its whole life, on the clock of the world: opens, is probed by one request, closes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.abuse import Caller
from tests.support.scripted import GATE, HANG, Provider, Reply, Scripted, answer, completion, healthy
from tests.support.user import Gateway, config, eventually, gateway

COOLDOWN_S = 1.5
"""Long enough for what must happen while it lasts, on a machine that is busy."""
SETTINGS = f"[breaker]\nfailures = 3\ncooldown = {COOLDOWN_S}\ncooldown_max = {COOLDOWN_S}"
MODELS = ("opens", "mixed", "probed", "reopens", "given-back")
FAILED = answer(503, b'{"error":{"message":"busy"}}')


class Site:
    """The gateway and the first provider of each virtual model; the second is healthy."""

    def __init__(self, running: Gateway, cast: Scripted) -> None:
        self.gateway = running
        self.cast = cast

    def ask(self, model: str) -> str:
        """Who served it."""
        response = self.gateway.http.post("/v1/chat/completions", json=body(model))
        assert response.status_code == 200
        served: str = response.headers["x-oxllm-provider"]
        return served.rpartition("-")[2]

    def first(self, model: str, *replies: Reply) -> Provider:
        """Give the first provider these replies."""
        provider = self.cast.providers[f"{model}-a"]
        provider.replies = [*[provider.replies[0]] * len(provider.asked), *replies] if provider.asked else replies
        return provider

    def state(self, model: str) -> str:
        state: str = self.gateway.provider(f"{model}-a")["state"]
        return state

    def open(self, model: str, *then: Reply) -> Provider:
        """Make the breaker open, with `then` as the replies of the probes."""
        provider = self.first(model, FAILED, FAILED, FAILED, *then)
        for _ in range(3):
            assert self.ask(model) == "b"
        assert self.state(model) == "open"
        return provider


def body(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}]}


def request(model: str) -> bytes:
    """The same for a raw socket."""
    asked = json.dumps(body(model)).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    return f"{head}{len(asked)}\r\n\r\n".encode() + asked


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Scripted() as cast:
        models = {model: [f"{model}-a", f"{model}-b"] for model in MODELS} | {"alone": ["alone-a"]}
        for name in (name for names in models.values() for name in names):
            cast.add(name).replies = [healthy("hi")]
        text = config({p.name: p.url for p in cast.providers.values()}, models, settings=SETTINGS)
        with gateway(tmp_path_factory.mktemp("breaker"), text) as running:
            yield Site(running, cast)


def test_it_opens_at_the_third_failure_in_a_row_and_then_nobody_is_sent(site: Site) -> None:
    provider = site.first("opens", FAILED)
    for state in ("closed", "closed", "open"):
        assert site.ask("opens") == "b"
        assert site.state("opens") == state
    assert site.ask("opens") == "b"
    assert len(provider.asked) == 3


def test_failures_that_are_not_in_a_row_do_not_open_it(site: Site) -> None:
    site.first("mixed", FAILED, FAILED, healthy("hi"), FAILED, FAILED, healthy("hi"))
    assert [site.ask("mixed") for _ in range(6)] == ["b", "b", "a", "b", "b", "a"]
    assert site.state("mixed") == "closed"


def test_half_open_one_request_probes_and_its_success_closes(site: Site) -> None:
    provider = site.open("probed", [GATE, *answer(200, completion("hi"))], healthy("hi"))
    assert eventually(lambda: site.state("probed") == "half-open")
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(site.ask, "probed")
        assert eventually(lambda: site.state("probed") == "probing")
        assert [site.ask("probed") for _ in range(3)] == ["b"] * 3
        provider.open_gate()
        assert probe.result() == "a"
    assert len(provider.asked) == 4
    assert site.state("probed") == "closed"
    assert site.ask("probed") == "a"


def test_a_probe_that_fails_opens_it_again(site: Site) -> None:
    provider = site.open("reopens", FAILED)
    assert eventually(lambda: site.state("reopens") == "half-open")
    assert site.ask("reopens") == "b"
    assert site.state("reopens") == "open"
    assert len(provider.asked) == 4


def test_a_client_that_leaves_gives_its_probe_back(site: Site) -> None:
    provider = site.open("given-back", [HANG], healthy("hi"))
    assert eventually(lambda: site.state("given-back") == "half-open")
    probe = Caller(site.gateway.port).send(request("given-back"))
    assert eventually(lambda: site.state("given-back") == "probing")
    assert site.ask("given-back") == "b", "there is one probe, and this is another request"
    probe.leave("close")
    assert provider.left.wait(60)
    assert site.state("given-back") == "half-open", "neither opened nor closed by it"
    assert site.ask("given-back") == "a"
    assert site.state("given-back") == "closed"


def test_a_flaky_provider_that_is_all_there_is_is_asked_though_its_breaker_is_open(site: Site) -> None:
    """Of one target each server error counts half, since nobody else has done otherwise."""
    site.first("alone", FAILED, healthy("hi"), FAILED, healthy("hi"), *[FAILED] * 7, healthy("hi"))
    statuses = [site.gateway.http.post("/v1/chat/completions", json=body("alone")).status_code for _ in range(10)]
    assert statuses == [502, 200, 502, 200, *[502] * 6]
    assert site.state("alone") == "open"
    assert site.gateway.http.post("/v1/chat/completions", json=body("alone")).status_code == 502
    assert site.state("alone") == "open"
    assert site.ask("alone") == "a"
    assert site.state("alone") == "closed"
