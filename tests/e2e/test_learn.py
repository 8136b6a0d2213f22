"""A scene that is learnt from the log of a night does what the night did: each fault is found in what it left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest

from oxllm.sim.script import learn, scenes
from oxllm.sim.testing import Sim
from tests.support.user import Gateway, config, eventually, gateway

FAULTS = (
    *("503", "429", "refuse", "rst", "fin", "garbage", "html-200", "empty", "role-only", "error-200"),
    *("blackhole", "cut", "silent-cut", "stall", "garble", "error-event"),
)
SETTINGS = (
    "[server]\nport = 0\n[timeouts]\nfirst_byte = 2\nidle = 2\n[breaker]\nfailures = 1000\n[retry]\nsame_target = 0"
)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway with a provider for each fault, and a model of its name."""
    with Sim(*FAULTS, "gone", faults={fault: [fault] for fault in FAULTS}, pace="ttft 0ms, itl 5ms, out 200") as sim:
        names = (*FAULTS, "gone")
        text = config({name: sim.url(name) for name in names}, {name: [name] for name in names}, settings=SETTINGS)
        with gateway(tmp_path_factory.mktemp("night"), text, "--log-format", "json") as running:
            yield running


def ask(url: str, model: str) -> None:
    """For a stream; of `gone` no more than its beginning is read."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    asked = httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60, trust_env=False)
    with suppress(httpx.RemoteProtocolError), asked as response:  # a stream that broke has no end
        for _ in response.iter_raw():
            if model == "gone":
                return


def test_each_fault_is_learnt_from_what_the_log_tells_of_it(night: Gateway) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda model: ask(night.url, model), [*FAULTS, "gone"]))

    def told() -> list[str]:
        return [line for line in night.log().splitlines() if '"event":"request"' in line]

    assert eventually(lambda: len(told()) == len(FAULTS) + 1)
    (gone,) = [line for line in told() if json.loads(line)["model"] == "gone"]
    learnt = scenes.load(learn.scene(line for line in told() if line != gone), 7)
    played = {scene.on[0]: [dosed.fault.text for dosed in scene.faults] for scene in learnt.scenes}
    assert played == {fault: ["rst@connect" if fault == "refuse" else fault] for fault in FAULTS}
    with pytest.raises(learn.NothingLearnt):
        learn.scene([gone])
