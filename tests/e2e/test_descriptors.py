"""Few descriptors, many clients: who is in is served, the others wait or are turned away, and the log stays short."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from tests.support.abuse import Caller, answers
from tests.support.gateway import CLEAN, serve_command
from tests.support.processes import Running
from tests.support.scripted import Scripted, healthy
from tests.support.user import Gateway, config, eventually, ready

BODY = b'{"model":"smart","messages":[]}'
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 31\r\n\r\n" + BODY
SHORT = "too many open files, new clients wait; raise the limit (ulimit -n)"


def busy(process: psutil.Process) -> float:
    """The share of a while that it works."""
    before, began = process.cpu_times(), time.monotonic()
    time.sleep(1.2)  # asyncio tries again each second
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / (time.monotonic() - began)


@pytest.mark.parametrize(("limit", "clients", "exhausted"), [(80, 90, True), (512, 340, False)])
def test_a_crowd_over_few_descriptors_costs_neither_time_nor_log_and_leaves_nothing(
    tmp_path: Path, limit: int, clients: int, exhausted: bool
) -> None:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [healthy("a")]
        file = tmp_path / "config.toml"
        file.write_text(config({"alpha": alpha.url}, {"smart": ["alpha"]}))
        command = ["sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh", *serve_command(file)]
        env = {**CLEAN, "XDG_RUNTIME_DIR": str(tmp_path)}
        with Running(command, output=tmp_path / "log", env=env) as running:
            running.wait_until(lambda: ready(running))
            gateway, process = Gateway(running), psutil.Process(running.pid)
            at_rest = process.num_fds()
            first = Caller(gateway.port)
            crowd = [Caller(gateway.port) for _ in range(clients)]
            if exhausted:
                assert busy(process) < 0.5
            assert first.everything() == b"", "the longest silent one has made room"
            if not exhausted:
                time.sleep(0.3)  # then nothing can be on its way any more
                assert answers(crowd[-1].send(CHAT).everything())[0][0].status == 200
            for caller in crowd:
                caller.leave("close")
            assert eventually(lambda: process.num_fds() == at_rest)
            assert eventually(lambda: answers(Caller(gateway.port).send(CHAT).everything())[0][0].status == 200)
            log = gateway.log()
    assert "max_connections lowered from 4096" in log
    assert log.count(SHORT) <= exhausted
    assert "Traceback" not in log
