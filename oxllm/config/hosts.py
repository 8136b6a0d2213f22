"""Hosts known to speak more protocols than a provider has by default. From their own API references."""

from __future__ import annotations

from typing import NamedTuple


class Spoken(NamedTuple):
    """The protocols that a host speaks beyond `chat`."""

    protocols: tuple[str, ...]
    path: str = ""
    """The prefix of a base URL's path under which it does; empty for any."""


KNOWN = {
    "api.openai.com": Spoken(("responses",)),
    "api.anthropic.com": Spoken(("messages",)),
    "openrouter.ai": Spoken(("responses", "messages")),
    "api.groq.com": Spoken(("responses",)),
    "api.x.ai": Spoken(("responses", "messages")),
    "api.fireworks.ai": Spoken(("responses", "messages")),
    "router.huggingface.co": Spoken(("responses",)),
    "api.deepseek.com": Spoken(("messages",), "/anthropic"),
    "api.moonshot.ai": Spoken(("messages",), "/anthropic"),
    "api.z.ai": Spoken(("messages",), "/api/anthropic"),
    "api.minimax.io": Spoken(("messages",), "/anthropic"),
}
"""By host name."""
SUFFIXES = {
    ".openai.azure.com": Spoken(("responses",), "/openai/v1"),
    ".services.ai.azure.com": Spoken(("messages",), "/anthropic"),
}
"""By the end of the host name."""
PATHS = {
    "api.openai.com": "/v1",
    "api.anthropic.com": "/v1",
    "api.groq.com": "/openai/v1",
    "api.mistral.ai": "/v1",
    "openrouter.ai": "/api/v1",
    "api.together.xyz": "/v1",
    "api.fireworks.ai": "/inference/v1",
    "api.x.ai": "/v1",
    "generativelanguage.googleapis.com": "/v1beta/openai",
    "api.cerebras.ai": "/v1",
}
"""The path of the API, for hosts that have nothing at their root."""
LOCAL = {
    11434: ("Ollama", Spoken(("responses", "messages"))),
    1234: ("LM Studio", Spoken(("responses", "messages"))),
}
"""Servers on this machine, by their usual port."""
NEAR = ("localhost", "127.0.0.1", "::1")


def base_of(host: str) -> str:
    """The base URL of one of `PATHS`."""
    return f"https://{host}{PATHS[host]}"


def path_of(host: str, port: int) -> str:
    """The path of a host's API, if it is known not to be at the root; else empty."""
    return "/v1" if host in NEAR and port in LOCAL else PATHS.get(host, "")


def spoken(host: str, port: int, path: str) -> tuple[str, tuple[str, ...]]:
    """The server's probable name, and the protocols that it speaks beyond `chat`; none if it is not known."""
    name, known = host, KNOWN.get(host)
    if known is None:
        known = next((found for end, found in SUFFIXES.items() if host.endswith(end)), None)
    if known is None and host in NEAR:
        name, known = LOCAL.get(port, (host, None))
    if known is None or not path.startswith(known.path):
        return name, ()
    return name, known.protocols
