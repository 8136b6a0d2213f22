"""Reloads under load: clients and open streams on one side, an operator who writes good and bad configs on the other.

    with Stage(directory) as stage:
        stage.under_load(clients=8, streams=20, reloads=8)

The load driver compares each byte, so a request that a reload disturbs counts in `failed`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import Self

import httpx
import psutil

from tests.support import load, provider
from tests.support.gateway import CLEAN
from tests.support.load import Job, Seen
from tests.support.user import Gateway, eventually, gateway
from tests.support.wire import play

MB = 2**20
EVERY_S = 0.5
"""Seconds between two events of a stream."""
ENV = {"FIRST_KEY": "sk-first", "SECOND_KEY": "sk-second"}
SERVER = "[server]\nport = 0\n"
TARGETS = '{{ provider = "{0}", model = "big-1" }}, {{ provider = "{1}", model = "big-1" }}'
MODELS = f"[virtual_models]\nsmart = [{TARGETS}]\n"


def provider_of(name: str, port: int, key: str = "FIRST_KEY") -> str:
    """The config lines of one provider."""
    return f'[[providers]]\nname = "{name}"\nbase_url = "http://127.0.0.1:{port}/v1"\napi_key = "${{{key}}}"\n'


class Stage:
    """Two providers, a gateway in front of them, and the configs that an operator may write."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self.file = directory / "config.toml"
        self.gateway: Gateway
        self.configs: dict[str, tuple[str, bool]]

    def __enter__(self) -> Self:
        one, two = (self._stack.enter_context(provider.running(self._directory)) for _ in range(2))
        both = provider_of("one", one) + provider_of("two", two)
        text = SERVER + both + MODELS.format("one", "two")
        self.configs = {
            "as before": (text, True),
            "not TOML": (text + "[server\n", False),
            "the one in use removed": (SERVER + provider_of("two", two) + MODELS.format("two", "two"), True),
            "a variable that is not set": (text.replace("FIRST_KEY", "NO_SUCH_KEY", 1), False),
            "another key": (text.replace("FIRST_KEY", "SECOND_KEY"), True),
            "another port": (text.replace("port = 0", "port = 1"), True),
            "an unknown key": (text + "[retry]\nbudgget = 1\n", False),
            "other limits": (text + "[breaker]\nfailures = 9\n[timeouts]\nidle = 50\n", True),
            "more models": (text + 'other = [{ provider = "two", model = "big-1" }]\n', True),
            "nothing at all": ("", False),
        }
        """Name -> text, and whether it should be accepted."""
        self.gateway = self._stack.enter_context(gateway(self._directory, text, env=ENV))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def under_load(self, clients: int, streams: int, reloads: int, seconds: float) -> tuple[Seen, Seen]:
        """Reload while clients ask and streams run for `seconds`; returns what clients and streams saw."""
        port, events = self.gateway.port, int(seconds / EVERY_S)
        asking = Job(kind="requests", port=port, model="smart", count=clients, within_s=300)
        flowing = Job(kind="streams", port=port, count=streams, events=events, every_s=EVERY_S, within_s=300)
        with (
            load.running(asking, self._directory) as asks,
            load.running(flowing, self._directory) as flows,
        ):
            flows.wait_for(lambda seen: seen.open == streams)
            for name, how in islice(zip(cycle(self.configs), cycle(WAYS), strict=False), reloads):
                self.reload(name, how)
            return asks.finish(), flows.finish()

    def reload(self, name: str, how: str) -> None:
        """Write the config of this name, reload, and check that the result is the expected one."""
        text, good = self.configs[name]
        self.file.write_text(text)
        before = self.outcomes()
        assert WAYS[how](self) in (good, None), (name, how)
        assert eventually(lambda: self.outcomes() != before, 30), (name, how)
        result = "success" if good else "refused"
        assert self.outcomes() == {**before, result: before[result] + 1}, (name, how)

    def outcomes(self) -> dict[str, int]:
        """Result -> how many reloads have had it."""
        found = re.findall(r'^oxllm_reloads_total{result="(\w+)"} (\d+)', self.gateway.http.get("/metrics").text, re.M)
        return {result: int(count) for result, count in found}

    def by_signal(self) -> None:
        os.kill(self.gateway.pid, signal.SIGHUP)

    def by_command(self) -> bool:
        env = {**os.environ, **CLEAN, "XDG_RUNTIME_DIR": str(self._directory / "run")}
        command = [str(Path(sys.executable).with_name("oxllm")), "reload"]
        return subprocess.run(command, env=env, capture_output=True, timeout=60, check=False).returncode == 0

    def by_post(self) -> bool:
        reply: httpx.Response = self.gateway.http.post("/reload", timeout=60)
        assert reply.json()["ok"] is (reply.status_code == 200)
        return reply.status_code == 200

    def chat(self) -> int:
        """Send a request; returns its status."""
        return self.gateway.http.post("/v1/chat/completions", json={"model": "smart", "messages": []}).status_code

    @staticmethod
    def a_stream() -> dict[str, object]:
        """The body of a request for a stream of a second."""
        return {"model": "smart", "stream": True, "messages": [{"role": "user", "content": play(4, 0.25)}]}

    def rss_mb(self) -> float:
        return float(psutil.Process(self.gateway.pid).memory_info().rss) / MB


WAYS = {"signal": Stage.by_signal, "POST": Stage.by_post, "command": Stage.by_command}
