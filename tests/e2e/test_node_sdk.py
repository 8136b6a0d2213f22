"""The openai Node SDK against a running gateway. It is installed from npm for these tests alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oxllm.sim.provider import text
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.testing import Sim
from tests.support.user import config, eventually, gateway

SEED, WORDS = 7, 24
MODELS = ("chat", "stream", "failover", "interrupted", "leave", "limited", "failed", "silent")
STEADY = f"ttft 10ms, itl 10ms, out {WORDS}"
MESSAGES = [{"role": "user", "content": "Grüße 🙂"}]
SCRIPT = Path(__file__).with_name("node_sdk.mjs")

Node = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with Sim(
        *(f"{model}-{end}" for model in MODELS for end in "ab"), seed=SEED, pace=f"ttft 0ms, itl 0ms, out {WORDS}"
    ) as sim:
        sim.patch("failover-a", ["502-html"])
        sim.patch("interrupted-a", ["cut@token:5"], pace_text=STEADY)
        sim.patch("leave-a", [], pace_text="ttft 0ms, itl 50ms, out 200")
        for end in "ab":
            sim.patch(f"limited-{end}", ["429~30"])
            sim.patch(f"failed-{end}", ["503"])
            sim.patch(f"silent-{end}", ["blackhole"])
        yield sim


@pytest.fixture(scope="module")
def node(openai_node: Path, sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Runs one case of the script."""
    shutil.copy(SCRIPT, openai_node)
    models = {model: [f"{model}-a", f"{model}-b"] for model in MODELS}
    urls = {name: sim.url(name) for names in models.values() for name in names}
    with gateway(tmp_path_factory.mktemp("gateway"), config(urls, models)) as running:

        def run(case: str) -> dict[str, Any]:
            command = ["node", str(openai_node / SCRIPT.name), f"{running.url}/v1", case]
            done = subprocess.run(command, capture_output=True, timeout=60, check=True)
            found: dict[str, Any] = json.loads(done.stdout)
            return found

        yield run


def said(name: str) -> str:
    return text.text(SEED, name, fingerprint(MESSAGES), WORDS)


def test_a_chat_and_who_served_it(node: Node) -> None:
    seen = node("chat")
    assert seen["text"] == said("chat-a")
    assert seen["headers"]["x-oxllm-provider"] == "chat-a"
    assert seen["headers"]["x-request-id"].startswith("oxllm-")


def test_a_stream_is_the_whole_text(node: Node) -> None:
    assert node("stream") == {"text": said("stream-a"), "finish": "stop"}


def test_failover_is_invisible(node: Node) -> None:
    assert node("failover") == {"text": said("failover-b"), "finish": "stop"}


def test_a_tool_call(node: Node) -> None:
    assert node("tools")["text"] == said("chat-a").strip()


def test_embeddings(node: Node) -> None:
    assert node("embeddings")["vector"] == text.vector(SEED, "chat-a", fingerprint("hi"), 8)


def test_models_and_one_with_a_slash(node: Node) -> None:
    seen = node("models")
    assert set(MODELS) <= set(seen["ids"])
    assert seen["one"] == "chat-a/m"


def test_a_stream_that_breaks_throws_and_is_never_a_short_answer(node: Node, sim: Sim) -> None:
    seen = node("interrupted")
    assert seen["thrown"]["class"] == "APIError"
    assert seen["thrown"]["code"] == "stream_interrupted"
    assert "stream broke" in seen["thrown"]["message"]
    assert said("interrupted-a").startswith(seen["text"])
    assert seen["text"]
    assert "finish" not in seen
    assert not sim.ledger("interrupted-b")


def test_leaving_a_stream_cancels_it_at_the_provider(node: Node, sim: Sim) -> None:
    assert node("leave")["text"]
    assert eventually(lambda: sim.ledger("leave-a")[0].end == "gone")


@pytest.mark.parametrize(
    ("case", "name", "status", "code", "words"),
    [
        ("invalid", "BadRequestError", 400, None, "Missing required parameter"),
        ("unknown", "NotFoundError", 404, "model_not_found", "'nobody'"),
        ("limited", "RateLimitError", 429, "rate_limit_exceeded", "limited-b/m: "),
        ("failed", "InternalServerError", 502, "all_targets_failed", "failed-a/m: HTTP 503"),
        ("deadline", "InternalServerError", 504, "deadline_exceeded", "silent-a/m: "),
    ],
)
def test_an_error_is_of_the_right_class_with_its_message(
    node: Node, case: str, name: str, status: int, code: str | None, words: str
) -> None:
    thrown = node(case)["thrown"]
    for _ in range(5):  # our answer comes a little before the SDK's own timeout, where the machine is not too busy
        if thrown["class"] == "APIConnectionTimeoutError":
            thrown = node(case)["thrown"]
    assert (thrown["class"], thrown["status"], thrown["code"]) == (name, status, code)
    assert words in thrown["message"]
