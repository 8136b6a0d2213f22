"""What real providers say, to who speaks the Messages or the Responses API: the same words mean the same there.

Each error of tests/data/errors/corpus.jsonl is given by a provider of its own, with a healthy one behind it. A single
failure opens a breaker, so that the next request shows whether the target may still be asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.test_corpus import RESCUE, SETTINGS, reply
from tests.support.corpus import Case, cases
from tests.support.responses_api import message, response
from tests.support.scripted import Scripted, answer
from tests.support.user import Gateway, config, gateway

CASES = [case for case in cases("corpus") if case.status >= 400 and case.body is not None]
ANSWERS = {
    "messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": RESCUE}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    },
    "responses": response("completed", [message(RESCUE, "completed")]),
}
ASKS: dict[str, dict[str, object]] = {
    "messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
    "responses": {"input": "hello"},
}
APIS = sorted(ANSWERS)


class Stage:
    def __init__(self, running: Gateway, cast: Scripted) -> None:
        self._gateway = running
        self._cast = cast

    def ask(self, api: str, case: Case) -> httpx.Response:
        return self._gateway.http.post(f"/v1/{api}", json={"model": f"{api} {case.id}", **ASKS[api]})

    def asked(self, api: str, case: Case) -> int:
        """How often the provider of this case was asked."""
        return len(self._cast.providers[f"{api}-{case.id}"].asked)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    directory: Path = tmp_path_factory.mktemp("apis")
    urls: dict[str, str] = {}
    models: dict[str, list[str]] = {}
    speaks: dict[str, str] = {}
    with Scripted() as cast:
        for api in APIS:
            well = cast.add(f"{api}-healthy")
            well.replies = [answer(200, json.dumps(ANSWERS[api]).encode())]
            for case in CASES:
                cast.add(f"{api}-{case.id}").replies = [reply(case)]
                models[f"{api} {case.id}"] = [f"{api}-{case.id}", well.name]
        for name, provider in cast.providers.items():
            urls[name] = provider.url
            speaks[name] = f'protocols = ["{name.partition("-")[0]}"]'
        with gateway(directory, config(urls, models, settings=SETTINGS, of_provider=speaks)) as running:
            yield Stage(running, cast)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_an_error_means_the_same_in_every_api(stage: Stage, api: str, case: Case) -> None:
    expect = case.expect
    for _ in range(case.times):
        found = stage.ask(api, case)
        if expect.failover:
            assert (found.status_code, RESCUE in found.text) == (200, True), found.text
            assert found.headers["x-oxllm-provider"] == f"{api}-healthy"
        else:
            assert found.status_code == case.status, found.text
    before = stage.asked(api, case)
    if expect.marks != "any":
        stage.ask(api, case)
        assert (stage.asked(api, case) > before) == (expect.marks == "nothing")
