"""What the core needs to know of a client's request."""

from __future__ import annotations

from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol
from oxllm.core.protocols.endpoint import Endpoint


class RequestFacts:
    """A client's request without its body. Immutable, but no Struct: its fields are read too often for that."""

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
        """Whether the answer is to be a stream."""
        self.request_id = request_id
        self.timeout = timeout
        """Seconds that the client says it will wait."""
        self.stored = stored
        """It is about an answer that some provider keeps: a target that cannot be asked may be the one that has it."""
        self.model = model
        """The name that the client sent. A wildcard target passes it on."""
        self.session = session
        """The session it belongs to, if that may decide between targets."""
