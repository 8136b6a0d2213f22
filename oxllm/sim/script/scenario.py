"""A scenario: the providers, and the scenes that play at them.

    [upstream.alpha]                                  [[scene]]
    dialect = "openai"                                name = "alpha browns out"
    pace = "ttft 400ms, itl 18ms, out 20..200"        on = "alpha"
    limit = "60 rpm, 40k tpm"                         when = "10s..40s"        # or "requests 5..12"
                                                      faults = ["429 x8", "cut@token:12 10%"]

`when` counts from the start of the run; a window includes its start and excludes its end. `scenes` reads and checks the
TOML.
"""

from __future__ import annotations

import msgspec

from oxllm.sim.faults.base import Layer
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script.grammar import Dosed


class When(msgspec.Struct, frozen=True):
    """When a scene plays: from `start` to before `end` in seconds, or from the `first` to the `last` request."""

    start: float = 0.0
    end: float = FOREVER
    first: int | None = None
    last: int | None = None

    def has(self, elapsed: float, ordinal: int) -> bool:
        if self.first is not None:
            return self.first <= ordinal <= (self.last or ordinal)
        return self.start <= elapsed < self.end

    def __str__(self) -> str:
        if self.first is not None:
            return f"requests {self.first}..{self.last or ''}"
        if self.end == FOREVER:
            return "always" if self.start == 0 else f"{self.start:g}s.."
        return f"{self.start:g}s..{self.end:g}s"


ALWAYS = When()


class Scene(msgspec.Struct, frozen=True):
    """Faults at some providers for some time."""

    name: str
    on: tuple[str, ...]
    faults: tuple[Dosed, ...]
    when: When = ALWAYS
    expect: tuple[str, ...] = ()

    @property
    def closes(self) -> bool:
        """It closes the whole port: nobody can connect while it plays."""
        return any(dosed.fault.strikes_at() is Layer.LISTENER for dosed in self.faults)

    @property
    def nameless(self) -> bool:
        """Its providers cannot be found by name."""
        return any(dosed.fault.strikes_at() is Layer.NAME for dosed in self.faults)


class Scenario(msgspec.Struct, frozen=True):
    """Everything that determines a run, except the requests."""

    seed: int
    upstreams: tuple[Upstream, ...]
    scenes: tuple[Scene, ...] = ()
    chaos: str | None = None
    """The preset or exhibit that made the scenes."""
