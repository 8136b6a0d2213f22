"""The demo's providers, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import psutil

from oxllm.sim import demo
from oxllm.sim.script import grammar
from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import play

BODY = b'{"model":"demo-1","stream":true,"messages":[{"role":"user","content":"hi"}]}'


def test_it_tells_its_ports_and_ends_with_its_standard_input() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "oxllm.sim.demo", "7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert sorted(json.loads(process.stdout.readline())["ports"]) == ["flaky", "steady"]
        loaded = psutil.Process(process.pid).memory_info().rss
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert loaded < 32 * 2**20, "no web framework is loaded"


def test_it_ends_in_silence_if_nobody_waits_for_its_ports_any_more() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "oxllm.sim.demo", "7"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, b"")


def test_the_very_first_request_fails_at_flaky_in_a_way_that_is_failed_over() -> None:
    first, *_ = demo.scenario(1).scenes[0].faults
    assert repr(first) == repr(grammar.parse("503 x1"))


def test_flaky_fails_four_in_ten_before_any_content_and_steady_never() -> None:
    world = demo.scenario(7)
    failed: Counter[str] = Counter()
    for name in ("flaky", "steady"):
        provider = Provider(world, name, 0.0)
        for _ in range(1000):
            sent, _ = play(provider.accept("POST", "/v1/chat/completions", [], BODY, 0.0))
            failed[name] += b'"finish_reason":"stop"' not in sent
            assert b'"finish_reason":"stop"' in sent or b'{"content":" ' not in sent
    assert failed["steady"] == 0
    assert 370 < failed["flaky"] < 430
