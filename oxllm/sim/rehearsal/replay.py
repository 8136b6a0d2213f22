"""The commands that have a rehearsal again: all of it, or what one of its requests gets."""

from __future__ import annotations

import shlex

import msgspec


class Replay(msgspec.Struct, frozen=True):
    """The options of a rehearsal, as words of a command line."""

    config: str
    play: tuple[str, ...] = ()
    """What its faults hang on, but the seed, which a coordinate names itself."""
    load: tuple[str, ...] = ()
    """The rest: seed, load, grades."""
    option: str = "--rehearse"
    """Before the config; `--against` before a URL."""

    @property
    def run(self) -> str:
        """The command of the whole run, for a shell."""
        return self._command(*self.load)

    def fate(self, coordinate: str) -> str:
        """The command that tells what the request at a coordinate gets, and why; nothing runs."""
        return self._command("--fate", coordinate)

    def _command(self, *further: str) -> str:
        return shlex.join(["oxllm", "sim", self.option, self.config, *self.play, *further])
