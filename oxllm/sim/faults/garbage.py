"""`garbage[@connect]`: bytes that are no HTTP, as from a wrong port, then EOF."""

from __future__ import annotations

from collections.abc import Iterator

from oxllm.sim.steps import Fin, Send, Step

from .base import ConnectionFault


class Garbage(ConnectionFault):
    kind = "garbage"

    def strike(self) -> Iterator[Step]:
        yield Send(b"\x16\x03\x01SSH-2.0-OpenSSH_9.6\r\n\x00\xff\xfe220 mail ready\r\n")
        yield Fin()


FAULT = Garbage
