"""`garbage[@connect]`: bytes that are no HTTP, as from a wrong port, then EOF."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.faults.base import ConnectionFault
from oxllm.sim.provider.steps import Fin, Send, Step


class Garbage(ConnectionFault):
    kind = "garbage"

    def strike(self, now: float) -> Iterator[Step]:
        yield Send(b"\x16\x03\x01SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe220 mail ready\r\n")
        yield Fin()


FAULT = Garbage
