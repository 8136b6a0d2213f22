"""Operator routes, called from another host: a network namespace of our own, joined to this one by a cable."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.user import Gateway, config, eventually, gateway

SUBNET = "10.231.7"
"""Of the cable alone: nothing else on the machine is reached through it."""

Ask = Callable[[str], int]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """The name of the other host. Skips where none can be made."""
    name = f"oxllm{os.getpid()}"
    near, far = f"ox{os.getpid() % 100000}a", f"ox{os.getpid() % 100000}b"
    if shutil.which("ip") is None or shutil.which("curl") is None:
        pytest.skip("needs iproute2 and curl")
    try:
        ip("netns", "add", name)
        ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        ip("addr", "add", f"{SUBNET}.1/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "addr", "add", f"{SUBNET}.2/30", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        yield name
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode(errors='replace').strip()}")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    server = f'[server]\nhost = "0.0.0.0"\nport = 0\nhealth_allow = ["{SUBNET}.2/32"]'
    with gateway(
        tmp_path_factory.mktemp("gateway"),
        config({"alpha": "http://127.0.0.1:9/v1"}, {"m": ["alpha"]}, settings=server),
    ) as running:
        yield running


@pytest.fixture
def from_there(namespace: str, running: Gateway) -> Ask:
    """The status that the other host gets for `METHOD path`."""

    def ask(request: str) -> int:
        method, _, path = request.partition(" ")
        url = f"http://{SUBNET}.1:{running.port}{path}"
        command = ["ip", "netns", "exec", namespace, "curl", "-s", "-m", "5", "-X", method, "-o", os.devnull]
        done = subprocess.run(
            [*command, "-w", "%{http_code}", url], check=True, capture_output=True, text=True, timeout=10
        )
        return int(done.stdout)

    return ask


@pytest.mark.parametrize(
    "request_line",
    [
        *("GET /status", "GET /metrics", "GET /explain/x", "POST /reload", "POST /reload?dry_run=1"),
        *("POST /admin/providers/alpha/offline", "POST /admin/providers/alpha/reset"),
    ],
)
def test_an_operator_route_is_refused_to_another_host(from_there: Ask, request_line: str) -> None:
    assert from_there(request_line) == 403


def test_health_alone_is_open_to_the_networks_of_health_allow(from_there: Ask) -> None:
    assert from_there("GET /health") == 200


def test_v1_is_open_to_another_host(from_there: Ask) -> None:
    assert from_there("GET /v1/models") == 200


def test_what_was_refused_did_nothing_and_is_in_the_log(from_there: Ask, running: Gateway) -> None:
    assert from_there("POST /admin/providers/alpha/offline") == 403
    assert running.provider("alpha")["state"] == "closed"
    assert eventually(lambda: f"to {SUBNET}.2" in running.log())


def test_the_same_routes_are_open_to_this_host(running: Gateway, tmp_path: Path) -> None:
    assert running.http.get("/status").status_code == 200
    assert running.http.get("/metrics").status_code == 200
