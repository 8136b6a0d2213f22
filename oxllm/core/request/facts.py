"""What the core needs to know of a client's request."""

from __future__ import annotations

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Endpoint, Protocol


class RequestFacts:
    """A client's request, its body apart. Does not change; no Struct, since too many look at it too often."""

    __slots__ = ("asked", "endpoint", "model", "protocol", "request_id", "session", "stored", "stream", "timeout")

    def __init__(
        self,
        protocol: Protocol,
        endpoint: Endpoint,
        asked: Asked,
        request_id: str = "",
        timeout: float | None = None,
        stored: bool = False,
        model: str = "",
        session: int | None = None,
    ) -> None:
        self.protocol = protocol
        self.endpoint = endpoint
        self.asked = asked
        self.stream = asked.stream
        """Its answer is a stream."""
        self.request_id = request_id
        self.timeout = timeout
        """Seconds after which the client says it will not wait any more."""
        self.stored = stored
        """It is about an answer that some provider keeps: whoever cannot be asked may be the one."""
        self.model = model
        """The name that the client sent; what a target sends that takes any name."""
        self.session = session
        """Which session it belongs to, if one of several targets may be preferred for that."""
