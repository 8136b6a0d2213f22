"""The commands that repeat a rehearsal, or show what one of its requests gets."""

from __future__ import annotations

import shlex

import msgspec


class Replay(msgspec.Struct, frozen=True):
    """The options of a rehearsal, as command line words."""

    config: str
    play: tuple[str, ...] = ()
    """What its faults depend on, except the seed, which a coordinate includes."""
    load: tuple[str, ...] = ()
    """The rest: seed, load, grades."""
    option: str = "--rehearse"
    """The option that takes `config`; `--against` if that is a URL."""

    @property
    def run(self) -> str:
        """The command that repeats the whole run, for a shell."""
        return self._command(*self.load)

    def fate(self, coordinate: str) -> str:
        """The command that shows what the request at a coordinate gets, and why, without running anything."""
        return self._command("--fate", coordinate)

    def _command(self, *further: str) -> str:
        return shlex.join(["oxllm", "sim", self.option, self.config, *self.play, *further])
