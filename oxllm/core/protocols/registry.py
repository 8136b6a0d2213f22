"""Which protocols there are, and which paths are whose.

Only those are imported that some provider speaks: each costs the serving process memory.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from importlib import import_module

from oxllm.core.protocols.base import ANSWER_ID, Endpoint, Protocol

NAMES = ("chat", "completions", "embeddings", "responses", "messages", "json")
"""Each is a file of this package with its `PROTOCOL`."""

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
"""Where each has its paths, so that one can be named that was not imported."""

BELOW = (b"/messages/count_tokens", b"/responses/compact", b"/responses/input_tokens")
"""Of what is below those, the paths that name no answer."""


def place_of(path: bytes) -> str | None:
    """The name of the protocol that a path belongs to, whether any provider speaks it or not."""
    path = path.removeprefix(b"/v1")
    return next((name for place, name in PLACES.items() if path == place or path.startswith(place + b"/")), None)


def meant(path: bytes) -> bytes:
    """The path that one ends in that no API has: a base URL has too much before it, or a slash. Nothing if in none."""
    parts = [part for part in path.split(b"/") if part]
    ends = (b"/" + b"/".join(parts[-many:]) for many in (2, 1))
    return next((b"/v1" + end for end in ends if end in PLACES or end in BELOW or end == b"/models"), b"")


def named(name: str) -> Protocol:
    """The protocol of a name in NAMES."""
    protocol: Protocol = import_module(f"oxllm.core.protocols.{name}").PROTOCOL
    return protocol


class EndpointTable:
    """The paths of some protocols, with and without /v1 before them."""

    __slots__ = ("_keeping", "_methods")

    def __init__(self, names: Container[str]) -> None:
        self._methods: dict[bytes, dict[str, tuple[Protocol, Endpoint]]] = {}
        """By path, then by method."""
        self._keeping: list[tuple[bytes, bytes, bytes]] = []
        """Of the paths that name an answer: what is before its id and behind it, and the key in `_methods`."""
        for protocol in [named(name) for name in NAMES if name in names]:
            for endpoint in protocol.endpoints:
                for prefix in (b"/v1", b""):
                    path = prefix + endpoint.path.encode()
                    if endpoint.keeps and path not in self._methods:
                        before, _, behind = path.partition(ANSWER_ID.encode())
                        self._keeping.append((before, behind, path))
                    methods = self._methods.setdefault(path, {})
                    methods[endpoint.method] = protocol, endpoint

    def find(self, method: str, path: bytes) -> tuple[Protocol, Endpoint] | None:
        """What a request is for; None if it is for no provider."""
        return self._at(path).get(method)

    def speaker(self, path: bytes) -> Protocol | None:
        """Whose path it is, whatever it is asked with; None if it is no provider's."""
        return next((protocol for protocol, _ in self._at(path).values()), None)

    def methods(self, path: bytes) -> tuple[bytes, ...]:
        """What a path can be asked with; nothing if it is no provider's."""
        return tuple(method.encode() for method in self._at(path))

    def answer(self, path: bytes) -> bytes:
        """The id, as it is written, of the answer that a path names; nothing if it names none."""
        return next((path[len(before) : len(path) - len(behind)] for before, behind, _ in self._fitting(path)), b"")

    def _at(self, path: bytes) -> dict[str, tuple[Protocol, Endpoint]]:
        methods = self._methods.get(path)
        if methods is None:
            methods = next((self._methods[key] for _, _, key in self._fitting(path)), {})
        return methods

    def _fitting(self, path: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
        for before, behind, key in self._keeping:
            if path.startswith(before) and path.endswith(behind):
                answer = path[len(before) : len(path) - len(behind)]
                if answer and b"/" not in answer:
                    yield before, behind, key
