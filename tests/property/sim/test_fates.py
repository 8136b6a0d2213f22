"""The same seed is the same run: whatever the order, the concurrency, the process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.sim.rehearsal.question import Questions
from oxllm.sim.script import presets
from oxllm.sim.script.presets import HELL
from oxllm.sim.serve.engine import Provider
from oxllm.sim.testing import Sim, play, scenario

FAULTS = {"alpha": [fault for fault in HELL if not fault.startswith(("stall", "hold-open", "trickle", "slow", "late"))]}
ROOT = Path(__file__).parents[3]
IDS = [f"request-{number}" for number in range(150)]


def body(name: str) -> bytes:
    return json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": name}]}).encode()


def outcome(provider: Provider, name: str) -> tuple[str | None, bytes]:
    script = provider.accept("POST", "/v1/chat/completions", [(b"x-request-id", name.encode())], body(name), 0.0)
    sent, _ = play(script)
    return script.record.fault, sent


def outcomes(names: list[str], seed: int) -> dict[str, tuple[str | None, bytes]]:
    provider = Provider(scenario("alpha", faults=FAULTS, seed=seed), "alpha", 0.0)
    return {name: outcome(provider, name) for name in names}


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_requests_changes_no_byte_of_any_answer(seed: int, chance: random.Random) -> None:
    names = IDS[:20]
    shuffled = chance.sample(names, len(names))
    assert outcomes(names, seed) == outcomes(shuffled, seed)


def test_other_seeds_are_other_runs() -> None:
    assert outcomes(IDS, 1) != outcomes(IDS, 2)


def fates(clients: int, named: bool) -> dict[str, str | None]:
    """The fates of all requests, sent by so many clients at once; by the ids that they carry, or by what they ask."""
    waiting = list(IDS)
    with Sim("alpha", faults=FAULTS) as sim:

        def client() -> None:
            with httpx.Client(base_url=sim.url("alpha"), verify=False) as http:
                while waiting:
                    try:
                        name = waiting.pop()
                    except IndexError:
                        return
                    try:
                        http.post(
                            "/chat/completions",
                            content=body(name),
                            headers={"connection": "close"} | ({"x-request-id": name} if named else {}),
                        )
                    except httpx.HTTPError:
                        continue

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return {record.key: record.fault for record in sim.ledger("alpha")}


@pytest.mark.parametrize("named", [True, False], ids=["by id", "by question"])
def test_one_client_and_fifty_meet_the_same_fates(named: bool) -> None:
    alone, crowd = fates(1, named), fates(50, named)
    assert len(alone) == len(IDS)
    assert alone == crowd
    assert len(set(alone.values())) > 10


def a_run(seed: int) -> list[object]:
    """All that a rehearsal draws: fates and answers, the timetable of a preset, the questions."""
    table = presets.timetable("hell", seed, [["alpha", "beta", "gamma"], ["delta", "beta"]], 300.0)
    questions = Questions(seed, {"smart": ["big-1"], "vectors": ["text-embed"]}, 0.5)
    return [sorted(outcomes(IDS[:60], seed).items()), table, [questions[number] for number in range(60)]]


def test_the_hash_seed_of_python_changes_nothing() -> None:
    program = (
        "import hashlib, tests.property.sim.test_fates as t;"
        "print(hashlib.sha256(repr(t.a_run(7)).encode()).hexdigest())"
    )
    seen = set()
    for hash_seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        seen.add(run.stdout)
    assert len(seen) == 1
