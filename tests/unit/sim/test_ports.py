"""Ports of simulated providers, and those for who stands before them."""

from __future__ import annotations

import socket

import pytest

from oxllm.sim.serve.ports import FREE, free_port


def test_a_free_port_can_be_had() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert server.getsockname()[1] in FREE


def test_one_is_found_where_none_of_the_usual_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = socket.create_server(("127.0.0.1", free_port()))
    with taken:
        monkeypatch.setattr("oxllm.sim.serve.ports.FREE", [taken.getsockname()[1]])
        monkeypatch.setattr("oxllm.sim.serve.ports.TRIES", 1)
        assert free_port() != taken.getsockname()[1]
