"""What the operator's pages are made of: everything whose state or count `status` and `metrics` show."""

from __future__ import annotations

import asyncio

from oxllm.gateway.client.server import Server
from oxllm.gateway.life import Life
from oxllm.gateway.runtime import Runtime
from oxllm.gateway.wheel import Wheel


class Vitals:
    """The parts of one gateway that are looked at. Nothing is changed through it."""

    __slots__ = ("addresses", "created", "life", "loop", "reloads", "runtime", "server", "started", "wheel")

    def __init__(self, loop: asyncio.AbstractEventLoop, runtime: Runtime, wheel: Wheel, life: Life) -> None:
        self.loop = loop
        self.runtime = runtime
        self.wheel = wheel
        self.life = life
        self.server: Server
        """Set once it is made: it needs a service, which shows all this."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as URLs."""
        self.reloads = {"success": 0, "refused": 0}
        """Reloads so far, by how they ended; dry runs left out."""
        self.started = loop.time()
        self.created = int(runtime.wall())
        """The same, in seconds since the epoch."""
