"""A gateway as its user runs it: a config file, `oxllm serve -c FILE`, and its /status."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.support.gateway import CLEAN, serve_command
from tests.support.processes import Running

MODEL = "m"
"""The model of each provider of `config`; its second one is `m2`."""
_PORT = re.compile(r'(?:ready: |"message":")listening on http://[^\s"]+:(\d+)')


def config(
    urls: Mapping[str, str],
    models: Mapping[str, Sequence[str]],
    *,
    settings: str = "",
    of_provider: Mapping[str, str] | None = None,
    of_model: Mapping[str, str] | None = None,
) -> str:
    """A TOML config. `urls`: provider -> its URL. `models`: virtual model -> its providers. The rest is more settings:
    at the top, of a provider, of a virtual model."""
    text = f"{settings}\n" if "[server]" in settings else f"[server]\nport = 0\n{settings}\n"
    for name, url in urls.items():
        text += f'[[providers]]\nname = "{name}"\nbase_url = "{url}"\napi_key = "sk-{name}"\nmodels = ["m", "m2"]\n'
        text += (of_provider or {}).get(name, "") + "\n"
    for model, names in models.items():
        targets = ", ".join(f'{{ provider = "{name}", model = "m" }}' for name in names)
        text += f'[virtual_models."{model}"]\ntargets = [{targets}]\n{(of_model or {}).get(model, "")}\n'
    return text


class Gateway:
    """A running gateway. `log()` is all that it has written so far; `http` asks it directly, without a proxy."""

    def __init__(self, process: Running) -> None:
        self.process = process
        self.pid = process.pid
        self.port = int(self._found()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def _found(self) -> re.Match[str]:
        found = _PORT.search(self.log())
        assert found is not None, "only made when it is ready"
        return found

    def log(self) -> str:
        return self.process.output.read_text(encoding="utf-8", errors="replace")

    def status(self) -> dict[str, Any]:
        """`/status?format=json`."""
        found: dict[str, Any] = self.http.get("/status?format=json").json()
        return found

    def provider(self, name: str) -> dict[str, Any]:
        """What /status says about a provider."""
        found: dict[str, Any] = next(p for p in self.status()["providers"] if p["name"] == name)
        return found

    def target(self, model: str, provider: str) -> tuple[str, float]:
        """State of a virtual model's target at `provider`, and how many seconds it lasts (0 if ready)."""
        targets = next(m for m in self.status()["models"] if m["name"] == model)["targets"]
        found = next(t for t in targets if t["target"].startswith(f"{provider}/"))
        return found["state"], found["seconds_left"] or 0.0


def eventually(holds: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Whether `holds()` becomes true in time: for what another process does without notice."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def ready(process: Running) -> bool:
    """Whether it has logged where it listens."""
    return _PORT.search(process.tail()) is not None


@contextlib.contextmanager
def gateway(directory: Path, text: str, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Gateway]:
    """`oxllm serve` with this config, and a runtime directory of its own."""
    file = directory / "config.toml"
    file.write_text(text, encoding="utf-8")
    runtime = directory / "run"
    runtime.mkdir(exist_ok=True)
    surroundings = {**CLEAN, "XDG_RUNTIME_DIR": str(runtime), **(env or {})}
    with Running([*serve_command(file), *options], output=directory / "log", env=surroundings) as process:
        process.wait_until(lambda: ready(process))
        running = Gateway(process)
        with running.http:
            yield running
