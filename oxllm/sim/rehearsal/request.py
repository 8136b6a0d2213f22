"""What the command line asks of a rehearsal."""

from __future__ import annotations

from pathlib import Path

import msgspec

from oxllm.sim.rehearsal.replay import Replay


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One rehearsal, as it was asked for."""

    config: Path | None
    chaos: str
    scene: Path | None
    exhibit: str | None
    blackout: bool
    seed: int
    chosen: bool
    """The seed was given, so it takes precedence over that of a scene file."""
    duration: float
    rps: float
    streams: float
    pace: str
    grade: tuple[str, ...]
    models: tuple[str, ...] = ()
    """The names that clients ask for; empty = every virtual model, or if there are none every `provider/model`."""
    against: str | None = None
    """Base URL of a gateway that is not ours, instead of a config."""
    key: str | None = None
    port: int = 0
    """Port of the first provider; 0 = any."""
    try_advice: bool = False
    """Play it again with the card's advice applied."""
    headers: tuple[str, ...] = ()
    """`NAME: VALUE`, for every request to a gateway that is not ours."""

    @property
    def sent(self) -> dict[str, str]:
        """Headers for every request of the load."""
        keyed = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        pairs = (header.partition(":") for header in self.headers)
        return {**keyed, **{name: value.strip() for name, _, value in pairs}}

    def replay(self, seed: int) -> Replay:
        """The commands that repeat the run, which had this seed."""
        chaos = ("--chaos", self.chaos, *(["--blackout"] if self.blackout else []))
        played = ("--exhibit", self.exhibit) if self.exhibit is not None else chaos
        play = played if self.scene is None else ("--scene", str(self.scene))
        load = ("--rps", f"{self.rps:g}", "--streams", f"{self.streams * 100:g}", "--pace", self.pace)
        further = [*(("--model", name) for name in self.models), *(("--grade", rule) for rule in self.grade)]
        further += (("--header", header) for header in self.headers)
        rest = ("--seed", str(seed), *load, *(word for pair in further for word in pair))
        what, option = (self.config, "--rehearse") if self.against is None else (self.against, "--against")
        return Replay(str(what), (*play, "--for", f"{self.duration:g}s"), rest, option)
