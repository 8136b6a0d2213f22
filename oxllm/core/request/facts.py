"""What the core needs to know of a client's request."""

from __future__ import annotations

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Endpoint, Protocol
from oxllm.core.shape import Value


class RequestFacts(Value, frozen=True):
    """A client's request, its body apart."""

    protocol: Protocol
    endpoint: Endpoint
    asked: Asked
    request_id: str = ""
    timeout: float | None = None
    """Seconds after which the client says it will not wait any more."""
    stored: bool = False
    """It is about an answer that some provider keeps: whoever cannot be asked may be the one."""
    model: str = ""
    """The name that the client sent; what a target sends that takes any name."""
    session: int | None = None
    """Which session it belongs to, if one of several targets may be preferred for that."""
