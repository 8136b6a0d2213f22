"""The data behind the operator's pages: everything whose state or count `status` and `metrics` show."""

from __future__ import annotations

from collections.abc import Collection

from oxllm.gateway.client.server import Server
from oxllm.gateway.life import Life
from oxllm.gateway.runtime import Alarmed, Runtime
from oxllm.gateway.wheel import Wheel


class Vitals:
    """The parts of one gateway that can be observed. Nothing is changed through it."""

    __slots__ = (
        *("addresses", "bodies", "created", "current", "held", "journal", "life", "loop", "pool", "relays", "reloads"),
        *("server", "started", "wheel"),
    )

    def __init__(self, runtime: Runtime, wheel: Wheel, life: Life) -> None:
        self.loop = runtime.loop
        self.current = runtime.current
        self.relays: Collection[Alarmed] = runtime.relays
        """Requests in flight."""
        self.pool = runtime.pool
        self.bodies = runtime.bodies
        self.held = runtime.held
        self.journal = runtime.journal
        self.wheel = wheel
        self.life = life
        self.server: Server
        """Set later: a server needs a service, which needs this object."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as URLs."""
        self.reloads = {"success": 0, "refused": 0}
        """Reloads so far by result, without dry runs."""
        self.started = runtime.loop.time()
        self.created = int(runtime.wall())
        """The same, in seconds since the epoch."""
