"""The protocols, and which paths belong to which.

Only those that some provider speaks are imported: each costs the serving process memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from importlib import import_module

from oxllm.core.protocols.base import Protocol
from oxllm.core.protocols.endpoint import ANSWER_ID, Endpoint
from oxllm.plan import PROTOCOLS

PLACES = {
    b"/chat/completions": "chat",
    b"/completions": "completions",
    b"/embeddings": "embeddings",
    b"/responses": "responses",
    b"/messages": "messages",
    b"/rerank": "json",
    b"/moderations": "json",
    b"/images/generations": "json",
    b"/audio/speech": "json",
}
"""The root path of each, so that a protocol can be named without being imported."""

BELOW = (b"/messages/count_tokens", b"/responses/compact", b"/responses/input_tokens")
"""The paths below those that do not name an answer."""


def place_of(path: bytes) -> str | None:
    """The name of the protocol that a path belongs to, even if no provider speaks it."""
    path = path.removeprefix(b"/v1")
    return next((name for place, name in PLACES.items() if path == place or path.startswith(place + b"/")), None)


def meant(path: bytes) -> bytes:
    """The API path in which an unknown path ends, if a base URL put too much before it, or a slash; else empty."""
    parts = [part for part in path.split(b"/") if part]
    ends = (b"/" + b"/".join(parts[-many:]) for many in (2, 1))
    return next((b"/v1" + end for end in ends if end in PLACES or end in BELOW or end == b"/models"), b"")


def named(name: str) -> Protocol:
    """The protocol with this name (one of PROTOCOLS): `PROTOCOL` in its module."""
    protocol: Protocol = import_module(f"oxllm.core.protocols.{name}").PROTOCOL
    return protocol


class EndpointTable:
    """The paths of some protocols, with and without a leading /v1."""

    __slots__ = ("_keeping", "_methods")

    def __init__(self, names: Container[str]) -> None:
        self._methods: dict[bytes, dict[str, tuple[Protocol, Endpoint]]] = {}
        """By path, then by method."""
        self._keeping: list[tuple[bytes, bytes, bytes]] = []
        """For each path that names an answer: what comes before and after its id, and the key in `_methods`."""
        for protocol in [named(name) for name in PROTOCOLS if name in names]:
            for endpoint in protocol.endpoints:
                for prefix in (b"/v1", b""):
                    path = prefix + endpoint.path.encode()
                    if endpoint.keeps and path not in self._methods:
                        before, _, behind = path.partition(ANSWER_ID.encode())
                        self._keeping.append((before, behind, path))
                    methods = self._methods.setdefault(path, {})
                    methods[endpoint.method] = protocol, endpoint

    def find(self, method: str, path: bytes) -> tuple[Protocol, Endpoint] | None:
        """The endpoint that a request is for; None if no provider serves it."""
        return self._at(path).get(method)

    def speaker(self, path: bytes) -> Protocol | None:
        """The protocol that has this path, with any method; None if there is none."""
        return next((protocol for protocol, _ in self._at(path).values()), None)

    def methods(self, path: bytes) -> tuple[bytes, ...]:
        """The methods of a path; none if no protocol here has it."""
        return tuple(method.encode() for method in self._at(path))

    def _at(self, path: bytes) -> dict[str, tuple[Protocol, Endpoint]]:
        methods = self._methods.get(path)
        if methods is None:
            methods = next((self._methods[key] for key in self._fitting(path)), {})
        return methods

    def _fitting(self, path: bytes) -> Iterator[bytes]:
        for before, behind, key in self._keeping:
            if path.startswith(before) and path.endswith(behind):
                answer = path[len(before) : len(path) - len(behind)]
                if answer and b"/" not in answer:
                    yield key
