"""What the tests of broken streams share, whatever API the stream is of: where it breaks, behind which gateway, and an
SDK that is asked for each break and says what it has made of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from tests.support.breaking import WAYS, breaking, prompt
from tests.support.scripted import Scripted
from tests.support.user import Gateway, config, gateway

AT_ONCE = 16
"""Requests under way at the same time."""
BEHIND = (1, 2, 3, 100, 70_000, 140_000)
"""How many bytes before the end of a large event it breaks."""
SCRIPTS = Path(__file__).parent
SETTINGS = "[breaker]\nfailures = 1000000\n[retry]\nsame_target = 0\n"
SPEAKS = 'protocols = ["{}"]\ntimeouts = {{ idle = 4, first_byte = 4 }}\n'
Place = tuple[int, str]
"""After how many bytes it breaks, and in which way."""
Ask = Callable[[str, str], Awaitable[str | None]]
"""Of a model and a prompt: what the client has in the end, None if it raised."""


class Broken(NamedTuple):
    """A stream to be broken, and what its client is to have in the end."""

    events: Sequence[bytes]
    content: int
    """The first of its events that bears content."""
    whole: int
    """The event that makes it whole: what comes behind does not matter."""
    said: str
    other: str
    """What the next provider says."""

    @property
    def stream(self) -> bytes:
        return b"".join(self.events)

    @property
    def borders(self) -> list[int]:
        """Where an event begins or ends."""
        return list(accumulate(map(len, self.events), initial=0))

    @property
    def places(self) -> list[Place]:
        """Every border of an event in every way, and every 13th byte between them by a close or a proper end. (Every
        byte: test_every_byte.py, and without sockets test_exchange_messages.py and ..._responses.py.)"""
        inside = [at for at in range(1, len(self.stream)) if at not in self.borders]
        return [(at, way) for way in WAYS for at in self.borders] + [(at, WAYS[at % 2 * 2]) for at in inside[::13]]

    def expected(self, at: int) -> str | None:
        """What the client has if it breaks there: all of it, the next provider's if no content came, else nothing."""
        if at >= self.borders[self.whole + 1]:
            return self.said
        return self.other if at < self.borders[self.content + 1] else None

    def wrong(self, found: Sequence[str | None], places: Sequence[Place]) -> list[tuple[Place, str | None]]:
        """Where something else came of it. (A reset takes away what the gateway has not read yet: it may as well have
        come at any place before.)"""

        def right(at: int, way: str) -> set[str | None]:
            return {self.expected(before) for before in [at, *(self.borders if way == "rst" else ())] if before <= at}

        return [(place, one) for place, one in zip(places, found, strict=True) if one not in right(*place)]


@contextlib.contextmanager
def running(directory: Path, protocol: str, stream: bytes, large: bytes, other: bytes) -> Iterator[Gateway]:
    """Of `smart` the first provider breaks, of `large` it does inside an event of 200 KB; the second one answers."""
    with Scripted() as cast:
        for name, reply in (
            ("alpha", breaking(stream)),
            ("large", breaking(large)),
            ("beta", breaking(other, steady=True)),
        ):
            cast.add(name).replies = [reply]
        urls = {name: provider.url for name, provider in cast.providers.items()}
        models = {"smart": ["alpha", "beta"], "large": ["large", "beta"]}
        speaks = dict.fromkeys(urls, SPEAKS.format(protocol))
        with gateway(directory, config(urls, models, settings=SETTINGS, of_provider=speaks)) as found:
            yield found


async def all_of(ask: Ask, places: Sequence[Place], model: str = "smart") -> list[str | None]:
    """What came of each place."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(at: int, way: str) -> str | None:
        async with limit:
            return await ask(model, prompt(at, way))

    return await asyncio.gather(*(one(at, way) for at, way in places))


def all_in_node(directory: Path, script: str, url: str, places: Sequence[Place]) -> list[dict[str, str]]:
    """What a script of ours makes of each place, first by the SDK's helper and then without."""
    for name in (script, "breaks.mjs"):
        (directory / name).write_text((SCRIPTS / name).read_text(encoding="utf-8"), encoding="utf-8")
    asks = [[prompt(at, way), how] for at, way in places for how in ("helper", "iterate")]
    command = ["node", str(directory / script), url, "smart"]
    done = subprocess.run(command, input=json.dumps(asks), capture_output=True, timeout=300, check=True, text=True)
    found: list[dict[str, str]] = json.loads(done.stdout)
    assert len(found) == len(asks)
    return found
