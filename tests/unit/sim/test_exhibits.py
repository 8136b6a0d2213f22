"""Each exhibit does on the wire what its story tells."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import pytest

from oxllm.sim.provider.pace import parse
from oxllm.sim.provider.steps import Hang, Step
from oxllm.sim.script import exhibits, scenes
from oxllm.sim.script.scenario import Scenario
from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import play

ASK = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()


class Told(msgspec.Struct):
    """A response: its status, head and body, chunk sizes and all, and the last step."""

    status: int
    head: bytes
    body: bytes
    last: Step

    @property
    def framed(self) -> bool:
        return self.body.endswith(b"0\r\n\r\n")

    @property
    def content(self) -> bool:
        return b'"content":" ' in self.body


def struck(name: str) -> Told:
    """The first response of an exhibit that is not healthy."""
    scenario = exhibits.scenario(name, 7)
    quick = tuple(msgspec.structs.replace(up, pace=parse("ttft 0ms, itl 0ms, out 20")) for up in scenario.upstreams)
    provider = Provider(Scenario(7, quick, scenario.scenes), "alpha", 0.0)
    while True:
        script = provider.accept("POST", "/v1/chat/completions", [], ASK, 0.0)
        data, steps = play(script)
        if script.record.fault is not None:
            head, _, body = data.partition(b"\r\n\r\n")
            return Told(int(data[9:12]), head, body, steps[-1][1])


INCIDENTS: dict[str, Callable[[Told], bool]] = {
    "azure-86400": lambda told: told.status == 429 and b"retry-after: 86400" in told.head,
    "ollama-vanishing-error": lambda told: (
        told.status == 200 and told.framed and told.content and b'"finish_reason":"' not in told.body
    ),
    "openrouter-empty-200": lambda told: told.status == 200 and told.framed and not told.content,
    "cloudflare-520": lambda told: told.status == 520 and b"text/html" in told.head,
    "held-open-no-done": lambda told: (
        isinstance(told.last, Hang) and b'"finish_reason":"stop"' in told.body and b"[DONE]" not in told.body
    ),
    "error-then-done": lambda told: b'"error"' in told.body and told.body.rstrip(b"0\r\n").endswith(b"data: [DONE]"),
    "anthropic-529": lambda told: told.status == 529 and b"overloaded_error" in told.body,
    "groq-498": lambda told: told.status == 498 and b"capacity_exceeded" in told.body,
    "quota-as-429": lambda told: told.status == 429 and b"insufficient_quota" in told.body,
    "silent-cut": lambda told: told.status == 200 and told.framed and told.content and b"[DONE]" not in told.body,
}


OUTAGES = [name for name, exhibit in exhibits.EXHIBITS.items() if exhibit.phases]


@pytest.mark.parametrize("name", [name for name in exhibits.EXHIBITS if name not in OUTAGES])
def test_an_exhibit_does_on_the_wire_what_its_story_tells(name: str) -> None:
    told = struck(name)
    assert INCIDENTS[name](told), told


@pytest.mark.parametrize("name", OUTAGES)
def test_an_outage_is_played_to_scale_and_leaves_a_calm_behind_it(name: str) -> None:
    exhibit = exhibits.EXHIBITS[name]
    minute, hour = exhibits.scenes(name, "alpha", 60.0), exhibits.scenes(name, "alpha", 3600.0)
    for phase, short, long in zip(exhibit.phases, minute, hour, strict=True):
        assert short.when.start == pytest.approx(60 * phase.start / exhibit.minutes, abs=0.01)
        assert long.when.end == pytest.approx(60 * short.when.end, abs=0.5)
    assert exhibit.phases[-1].end < exhibit.minutes * 0.95
    assert scenes.problems(exhibits.scenario(name, 7)) == []


def test_at_the_height_of_june_2025_a_quarter_of_the_requests_fails() -> None:
    provider = Provider(exhibits.scenario("openai-2025-06-10", 7, seconds=924.0), "alpha", 0.0)
    failed = 0
    for number in range(2000):
        data = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"{number}"}]}).encode()
        record = provider.accept("POST", "/v1/chat/completions", [], data, 300.0).record
        failed += record.fault is not None and not record.fault.startswith("slow")
    assert failed / 2000 == pytest.approx(0.25, abs=0.02)
