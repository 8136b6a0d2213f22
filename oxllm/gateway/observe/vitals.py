"""The data behind the operator's pages: everything whose state or count `status` and `metrics` show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.budget.bodies import BodyBudget
from oxllm.gateway.client.server import Server
from oxllm.gateway.life import Life
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.runtime import Alarmed, Current
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.wheel import Wheel


class Vitals:
    """The parts of one gateway that can be observed. Nothing is changed through it."""

    __slots__ = (
        *("addresses", "bodies", "created", "current", "held", "journal", "life", "loop", "pool", "relays", "reloads"),
        *("server", "started", "wheel"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        current: Current,
        relays: Collection[Alarmed],
        pool: Pool,
        bodies: BodyBudget,
        held: HeldBudget,
        journal: Journal,
        wheel: Wheel,
        life: Life,
    ) -> None:
        self.loop = loop
        self.current = current
        self.relays = relays
        """Requests in flight."""
        self.pool = pool
        self.bodies = bodies
        self.held = held
        self.journal = journal
        self.wheel = wheel
        self.life = life
        self.server: Server
        """Set later: a server needs a service, which needs this object."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as URLs."""
        self.reloads = {"success": 0, "refused": 0}
        """Reloads so far by result, without dry runs."""
        self.started = loop.time()
        self.created = int(wall())
        """The same, in seconds since the epoch."""
