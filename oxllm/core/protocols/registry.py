"""Which protocols there are, and which paths are whose.

Only those are imported that some provider speaks: each costs the serving process memory.
"""

from __future__ import annotations

from collections.abc import Container
from importlib import import_module

from oxllm.core.protocols.base import Endpoint, Protocol

NAMES = ("chat", "completions", "embeddings", "responses", "messages", "json")
"""Each is a file of this package with its `PROTOCOL`."""


def named(name: str) -> Protocol:
    """The protocol of a name in NAMES."""
    protocol: Protocol = import_module(f"oxllm.core.protocols.{name}").PROTOCOL
    return protocol


class EndpointTable:
    """The paths of some protocols, with and without /v1 before them."""

    __slots__ = ("_methods",)

    def __init__(self, names: Container[str]) -> None:
        self._methods: dict[bytes, dict[str, tuple[Protocol, Endpoint]]] = {}
        """By path, then by method."""
        for protocol in [named(name) for name in NAMES if name in names]:
            for endpoint in protocol.endpoints:
                for prefix in (b"/v1", b""):
                    methods = self._methods.setdefault(prefix + endpoint.path.encode(), {})
                    methods[endpoint.method] = protocol, endpoint

    def find(self, method: str, path: bytes) -> tuple[Protocol, Endpoint] | None:
        """What a request is for; None if it is for no provider."""
        methods = self._methods.get(path)
        return None if methods is None else methods.get(method)

    def speaker(self, path: bytes) -> Protocol | None:
        """Whose path it is, whatever it is asked with; None if it is no provider's."""
        return next((protocol for protocol, _ in self._methods.get(path, {}).values()), None)

    def methods(self, path: bytes) -> tuple[bytes, ...]:
        """What a path can be asked with; nothing if it is no provider's."""
        return tuple(method.encode() for method in self._methods.get(path, ()))
