"""A gateway that is stopped for longer than its timeouts, as by `docker pause`: streams go on, and nobody is blamed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.support.abuse import Caller
from tests.support.chat_bytes import DONE, FINISH, token
from tests.support.scripted import Scripted, Steps, stream
from tests.support.user import config, gateway

STREAMS = 200
"""More than are read in one turn of the loop."""
SHORT = "[timeouts]\nfirst_byte = 2\nidle = 2"
CHAT = b'{"model":"smart","messages":[],"stream":true}'
ASK = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"


def slowly() -> Steps:
    """Eight seconds of an event each half second."""
    return stream(*(step for _ in range(16) for step in (token("x"), 0.5)), FINISH, DONE)


def test_streams_go_on_after_a_stop_of_the_process_and_their_provider_is_not_blamed(tmp_path: Path) -> None:
    with Scripted() as cast:
        alpha, beta = cast.add("alpha"), cast.add("beta")
        alpha.replies = [slowly()]
        text = config({"alpha": alpha.url, "beta": beta.url}, {"smart": ["alpha", "beta"]}, settings=SHORT)
        with gateway(tmp_path, text) as running:
            callers = [Caller(running.port).send(ASK % (len(CHAT), CHAT)) for _ in range(STREAMS)]
            time.sleep(2)
            os.kill(running.pid, signal.SIGSTOP)
            time.sleep(3)
            os.kill(running.pid, signal.SIGCONT)
            assert all(b"data: [DONE]" in caller.everything() for caller in callers)
            assert running.provider("alpha")["state"] == "closed"
            assert "silent for" not in running.log()
        assert cast.counts() == (STREAMS, 0)
