"""Reloads, good and bad, while clients ask and streams are open: nobody notices. The long one is in tests/soak."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.reloads import Stage
from tests.support.user import eventually


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("reload")) as stage:
        yield stage


@pytest.fixture
def stage(everything: Stage) -> Iterator[Stage]:
    """As it was at the start."""
    yield everything
    everything.file.unlink()
    everything.file.write_text(everything.configs["as before"][0])


def test_no_request_fails_and_streams_are_byte_exact_through_reloads_good_and_bad(stage: Stage) -> None:
    asked, streamed = stage.under_load(clients=4, streams=20, reloads=5, seconds=2)
    assert (asked.failed, asked.refused) == ({}, 0)
    assert asked.done > 100
    assert (streamed.failed, streamed.refused, streamed.done) == ({}, 0, 20)
    assert stage.rss_mb() < 40
    assert "Traceback" not in stage.gateway.log()


def test_a_storm_of_signals_is_survived_and_the_last_config_is_the_one_that_runs(stage: Stage) -> None:
    for number in range(200):
        if number == 199:
            stage.file.write_text(stage.configs["more models"][0])
        os.kill(stage.gateway.pid, signal.SIGHUP)
        time.sleep(0.005)
    assert eventually(lambda: "reload: added virtual model other" in stage.gateway.log())
    assert eventually(lambda: not psutil.Process(stage.gateway.pid).children())
    assert sum(stage.outcomes().values()) < 30, "those that wait are one"
    reply = stage.gateway.http.post("/v1/chat/completions", json={"model": "other", "messages": []})
    assert reply.status_code == 200


def test_a_child_that_is_killed_is_said_and_nothing_changes(stage: Stage) -> None:
    stage.by_signal()
    children = psutil.Process(stage.gateway.pid).children
    assert eventually(lambda: children() != [])
    child = children()[0]
    child.suspend()
    assert stage.chat() == 200, "served meanwhile"
    child.kill()
    assert eventually(lambda: "the process that checks the config died (signal 9)" in stage.gateway.log())
    assert stage.chat() == 200


def test_a_signal_while_stopping_is_not_followed(stage: Stage) -> None:
    with stage.gateway.http.stream("POST", "/v1/chat/completions", json=stage.a_stream()) as response:
        lines = response.iter_lines()
        next(lines)
        os.kill(stage.gateway.pid, signal.SIGTERM)
        assert eventually(lambda: "drain: stopping, 1 request under way" in stage.gateway.log())
        os.kill(stage.gateway.pid, signal.SIGHUP)
        assert eventually(lambda: "since the gateway is stopping" in stage.gateway.log())
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert stage.gateway.process.wait() == 0
