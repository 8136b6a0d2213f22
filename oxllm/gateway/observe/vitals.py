"""What the operator's pages are made of: everything whose state or count `status` and `metrics` show."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sized

from oxllm.core.budget.answers import HeldBudget
from oxllm.core.budget.bodies import BodyBudget
from oxllm.gateway.client.server import Server
from oxllm.gateway.life import Life
from oxllm.gateway.observe.journal import Journal
from oxllm.gateway.runtime import Current
from oxllm.gateway.upstream.pool import Pool
from oxllm.gateway.wheel import Wheel


class Vitals:
    """The parts of one gateway that are looked at. Nothing is changed through it."""

    __slots__ = (
        *("addresses", "bodies", "created", "current", "held", "journal", "life", "loop", "pool", "relays", "reloads"),
        *("server", "started", "wheel"),
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wall: Callable[[], float],
        current: Current,
        relays: Sized,
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
        """Requests under way."""
        self.pool = pool
        self.bodies = bodies
        self.held = held
        self.journal = journal
        self.wheel = wheel
        self.life = life
        self.server: Server
        """Set once it is made: it needs a service, which shows all this."""
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as URLs."""
        self.reloads = {"success": 0, "refused": 0}
        """Reloads so far, by how they ended; dry runs left out."""
        self.started = loop.time()
        self.created = int(wall())
        """The same, in seconds since the epoch."""
