"""A stream of the reactor and a transport of asyncio tell the same story of the same connection."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from tests.support.turned import Told, joined, reset, take, turn, turning

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the reactor stands on epoll, which Linux alone has")

LARGE = b"x" * 600_000
"""Never fits into the kernel's buffers, nor, less what fits, under the low-water marks."""
LARGE_MAX = 5
HIGH = (0, 64 * 1024, 16 * 1024 * 1024)
WRITES = ("small", "large", "eof")
NEAR = (*WRITES, "close", "abort", "pause", "resume", "limit 0", "limit 1", "limit 2")
FAR = ("send", "send much", "drain", "sip", "shut", "leave", "reset")
STEPS = st.one_of(
    st.lists(st.sampled_from(NEAR), min_size=1, max_size=4).map(tuple),
    st.sampled_from(FAR).map(lambda name: (name,)),
)


class Near(Told):
    """Our end."""

    def __init__(self, echo: bool, stay: bool) -> None:
        super().__init__()
        self.echo = echo
        self.stay = stay
        self.larges = 0
        self.cut = False
        """Something written was given up: how much of it has arrived is the kernel's affair."""
        self.finished = False

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        if self.echo and not self.finished:
            self.transport.write(self.view[:nbytes])

    def eof_received(self) -> bool | None:
        super().eof_received()
        return self.stay

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.cut = self.cut or exc is not None

    def do(self, name: str) -> None:
        try:
            if name in WRITES:
                self.write(name)
            elif name in {"close", "abort"}:
                self.cut = self.cut or (name == "abort" and self.transport.get_write_buffer_size() > 0)
                getattr(self.transport, name)()
            elif name == "limit 2" and "pause" in self.told:
                pass  # it would resume with the next byte that the kernel takes, whenever that is
            elif name.startswith("limit"):
                self.transport.set_write_buffer_limits(HIGH[int(name[-1])])
            elif "eof" not in self.told:  # asyncio would tell of it once more
                getattr(self.transport, f"{name}_reading")()
        except OSError as error:
            self.told.append(f"{name}: {type(error).__name__}")

    def write(self, name: str) -> None:
        if name == "eof":
            if not self.transport.is_closing():
                self.finished = True
                self.transport.write_eof()
        elif not self.finished:
            self.larges += name == "large"
            if name == "small" or self.larges <= LARGE_MAX:
                self.transport.write(LARGE if name == "large" else b"ab" * 50)


class Far:
    """The other one."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.got = b""
        self.end = ""
        self.gone = False
        self.told: list[str] = []

    def do(self, name: str) -> None:
        try:
            if name.startswith("send"):
                self.sock.send(b"in" * (10_000 if name == "send much" else 10))
            elif name == "shut":
                self.sock.shutdown(socket.SHUT_WR)
            elif name == "sip":
                self.take(100)
            else:
                self.gone = True
                (reset if name == "reset" else socket.socket.close)(self.sock)
        except OSError as error:
            self.told.append(type(error).__name__)

    def take(self, most: int = 1 << 30) -> None:
        if not self.end:
            data, self.end = take(self.sock, most)
            self.got += data


def play(choice: str, steps: Sequence[tuple[str, ...]], echo: bool, stay: bool) -> dict[str, object]:
    """What is seen on both ends."""
    with turning(choice) as loop:
        near = Near(echo, stay)
        far = Far(joined(loop, near))

        def drain() -> None:
            for _ in range(40):
                far.take()
                turn(loop, 2)

        for step in steps:
            if step == ("drain",) and not far.gone:
                drain()
            elif step[0] in FAR and not far.gone:
                far.do(step[0])
            elif step[0] in NEAR:
                for name in _told_apart(step, far.gone):
                    near.do(name)
            turn(loop)
        told = list(near.told)
        near.transport.close()
        if not far.gone:
            drain()
        far.sock.close()
        near.transport.abort()
        turn(loop)
        whole = far.end == "end" and not near.cut
        return {
            "near": told,
            "far": far.told,
            "data": near.data,
            "got": far.got if whole else b"",
            "end": far.end,
            "last": near.told[-1].partition(":")[0],
            "losses": sum(line.startswith("lost") for line in near.told),
        }


def _told_apart(step: tuple[str, ...], gone: bool) -> list[str]:
    """Of several writes in one turn to somebody who has gone, the first: whether the second is told what that has done
    differs, and nobody may rely on it."""
    first = next((name for name in step if name in WRITES), "")
    return [name for at, name in enumerate(step) if not gone or name not in WRITES or at == step.index(first)]


@given(steps=st.lists(STEPS, max_size=12), echo=st.booleans(), stay=st.booleans())
def test_any_script_is_the_same_on_the_reactor_as_on_asyncio(
    steps: list[tuple[str, ...]], echo: bool, stay: bool
) -> None:
    ours = play("reactor", steps, echo, stay)
    for line in ours["near"]:  # type: ignore[attr-defined]
        event(line)
    assert ours == play("asyncio", steps, echo, stay)
    assert (ours["last"], ours["losses"]) == ("lost", 1)
