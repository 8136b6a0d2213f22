"""More than is allowed at once: who is shed and how, who is never, and that the others notice nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.abuse import Caller, answers
from tests.support.chat_bytes import ROLE, token
from tests.support.scripted import HANG, Scripted, healthy, stream
from tests.support.user import config, eventually, gateway

STREAM = b'{"model":"smart","stream":true,"messages":[]}'
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
CHAT = HEAD % len(STREAM) + STREAM
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
LAST = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
STATUS = b"GET /status HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


def test_over_max_in_flight_chat_is_told_503_and_a_moment_later_served_again(tmp_path: Path) -> None:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [
            stream(ROLE, token("x"), HANG, end=False),
            stream(ROLE, token("x"), HANG, end=False),
            healthy("a"),
        ]
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings="max_in_flight = 2")
        with gateway(tmp_path, text) as running:
            busy = [Caller(running.port).send(CHAT) for _ in range(2)]
            for caller in busy:
                caller.until(b'"x"')
            shed = running.http.post("/v1/chat/completions", content=STREAM)
            assert (shed.status_code, shed.headers["retry-after"]) == (503, "1")
            assert shed.json()["error"]["code"] == "overloaded"
            assert running.http.get("/status").status_code == 200
            busy[0].leave("reset")
            assert eventually(lambda: running.http.post("/v1/chat/completions", content=STREAM).status_code == 200)
            busy[1].leave("close")


def test_over_max_connections_the_silent_make_room_and_where_all_are_busy_the_operator_gets_in(tmp_path: Path) -> None:
    with Scripted() as cast:
        alpha = cast.add("alpha")
        alpha.replies = [stream(ROLE, token("x"), HANG, end=False)]
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings="max_connections = 5")
        with gateway(tmp_path, text) as running:
            running.http.close()
            members = [Caller(running.port).send(CHAT) for _ in range(5)]
            for caller in members:
                caller.until(b'"x"')
            (shed,), _ = answers(Caller(running.port).send(CHAT).everything())
            assert (shed.status, shed.headers["retry-after"]) == (503, "1")
            silent = Caller(running.port)
            time.sleep(0.3)
            (page,), _ = answers(Caller(running.port).send(STATUS).everything())
            assert page.status == 200
            assert silent.everything() == b""
            for caller in members:
                caller.leave("close")


@pytest.mark.parametrize("idle", [0, 5])
def test_who_has_asked_is_not_silent_though_the_gateway_has_not_come_to_read_it(tmp_path: Path, idle: int) -> None:
    """Many come in one turn of a loop that has much to do: each is served or told 503, and nobody is reset."""
    with Scripted() as cast:
        alpha = cast.add("alpha")
        text = config({"alpha": alpha.url}, {"smart": ["alpha"]}, settings="max_connections = 5")
        with gateway(tmp_path, text) as running:
            running.http.close()
            callers = [Caller(running.port).send(MODELS) for _ in range(idle)]
            for caller in callers:
                caller.until(b"}]}")
            os.kill(running.pid, signal.SIGSTOP)
            callers = [caller.send(LAST) for caller in callers] + [Caller(running.port).send(LAST) for _ in range(20)]
            operator = Caller(running.port).send(STATUS)
            os.kill(running.pid, signal.SIGCONT)
            got = [one for caller in callers for one in answers(caller.everything())[0]]
            assert len(got) == len(callers)
            assert {one.status for one in got} <= {200, 503}
            assert all("retry-after" in one.headers for one in got if one.status == 503)
            assert answers(operator.everything())[0][0].status == 200
