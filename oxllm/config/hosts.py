"""Hosts that are known to speak more protocols than a provider is taken to. From their own API references."""

from __future__ import annotations

from typing import NamedTuple


class Spoken(NamedTuple):
    """What one host speaks beyond `chat`."""

    protocols: tuple[str, ...]
    path: str = ""
    """The start of a base URL's path where it does so; empty for any."""


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
"""By the end of one."""
LOCAL = {
    11434: ("Ollama", Spoken(("responses", "messages"))),
    1234: ("LM Studio", Spoken(("responses", "messages"))),
}
"""Servers on this machine, by their usual port."""


def spoken(host: str, port: int, path: str) -> tuple[str, tuple[str, ...]]:
    """Whose server that probably is, and which protocols it speaks beyond `chat`; none if nobody knows it."""
    name, known = host, KNOWN.get(host)
    if known is None:
        known = next((found for end, found in SUFFIXES.items() if host.endswith(end)), None)
    if known is None and host in ("localhost", "127.0.0.1", "::1"):
        name, known = LOCAL.get(port, (host, None))
    if known is None or not path.startswith(known.path):
        return name, ()
    return name, known.protocols
