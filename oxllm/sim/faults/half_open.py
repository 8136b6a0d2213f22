"""`half-open`: a healthy answer, and then the provider forgets the connection: it resets whatever comes next on it.

As does a host that has restarted, or a firewall that has silently dropped its state (RFC 9293 section 3.5.1).
"""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import Fault
from oxllm.sim.provider.exchange import Exchange
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.steps import Forget, Step


class HalfOpen(Fault):
    kind = "half-open"
    harm = Harm.NONE

    def play(self, x: Exchange) -> Iterator[Step]:
        yield from x.tape().rest()
        yield Forget()


FAULT = HalfOpen
