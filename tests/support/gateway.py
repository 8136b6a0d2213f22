"""A running oxllm to measure, started as a user starts it: `oxllm serve -c FILE`.

`run_script` starts a script around the same serving process: one that plants a leak, or a profiler.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from oxllm import launch, plan
from tests.support.processes import Running, answers, free_port, module

SPOKEN = '["chat", "completions", "embeddings", "responses", "messages", "json"]'
"""Every API: a gateway's cost is measured with all of them loaded."""
CLEAN = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "")
"""So that nothing measured goes through a proxy of this machine."""


def config(port: int, urls: Sequence[str], *, ca_file: Path | None = None) -> str:
    """A config with two https providers that are never asked, and one provider for each of `urls` behind `smart`."""
    text = f"[server]\nport = {port}\n"
    for name in ("alpha", "beta"):
        text += _provider(name, f"https://api.{name}.example/v1", None)
    for index, url in enumerate(urls):
        text += _provider(f"local{index}", url, ca_file)
    targets = "".join(f'\n  {{ provider = "local{index}", model = "big-1", tier = 1 }},' for index in range(len(urls)))
    targets = targets or '\n  { provider = "alpha", model = "big-1" },\n  { provider = "beta", model = "big-1" },'
    return f"{text}\n[virtual_models]\nsmart = [{targets}\n]\n"


def _provider(name: str, url: str, ca_file: Path | None) -> str:
    ca_line = f'ca_file = "{ca_file}"\n' if ca_file else ""
    text = f'\n[[providers]]\nname = "{name}"\nbase_url = "{url}"\napi_key = "sk-{name}"\nmodels = ["big-1"]\n{ca_line}'
    return f"{text}protocols = {SPOKEN}\n"


def serve_command(file: Path) -> list[str]:
    """`oxllm serve` in the Python that runs this."""
    return [str(Path(sys.executable).with_name("oxllm")), "serve", "-c", str(file)]


def _written(directory: Path, urls: Sequence[str], ca_file: Path | None) -> tuple[Path, int]:
    port = free_port()
    file = directory / f"oxllm-{port}.toml"
    file.write_text(config(port, urls, ca_file=ca_file), encoding="utf-8")
    return file, port


@contextlib.contextmanager
def serving(
    directory: Path,
    urls: Sequence[str] = (),
    *,
    ca_file: Path | None = None,
    cpus: set[int] | None = None,
) -> Iterator[tuple[Running, int]]:
    """A gateway in front of the providers at `urls`, and its port. Its process id is that of the serving process."""
    file, port = _written(directory, urls, ca_file)
    with serving_file(file, port, cpus=cpus) as process:
        yield process, port


@contextlib.contextmanager
def serving_file(file: Path, port: int, *, cpus: set[int] | None = None) -> Iterator[Running]:
    """A gateway with this config, which must have this port."""
    with Running(serve_command(file), output=file.with_suffix(".log"), env=CLEAN, cpus=cpus) as process:
        yield process.wait_until(lambda: answers(port, "/health"))


@contextlib.contextmanager
def run_script(script: Path, directory: Path, urls: Sequence[str], *arguments: str) -> Iterator[tuple[Running, int]]:
    """A Python file in place of `-m oxllm.gateway`, with the config that `serving` would have; and its port."""
    file, port = _written(directory, urls, None)
    with run_script_on(script, file, port, *arguments) as process:
        yield process, port


@contextlib.contextmanager
def run_script_on(script: Path, file: Path, port: int, *arguments: str) -> Iterator[Running]:
    """A Python file in place of `-m oxllm.gateway`, with the Plan of this config, which must have this port."""
    command = module("oxllm.config.compile", str(file))
    compiled = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, **CLEAN}).stdout
    fd = launch.plan_fd(plan.decode(compiled))
    try:
        command = [*launch.command(fd, program=(str(script),)), *arguments]
        env = {**CLEAN, **launch.environment(dict(os.environ))}
        with Running(command, output=file.with_suffix(".log"), env=env, pass_fds=[fd]) as process:
            yield process.wait_until(lambda: answers(port, "/health"))
    finally:
        os.close(fd)
