"""`oxllm sim --rehearse` as a user runs it: processes, sockets, real time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from oxllm.sim.rehearsal.card import Card

PROGRAM = (sys.executable, "-m", "oxllm", "sim")
BARE = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
"""The environment of a user without keys."""


class Rehearsal:
    """A running rehearsal. `env` is added to BARE."""

    def __init__(self, config: Path, *options: str, env: Mapping[str, str] | None = None) -> None:
        command = [*PROGRAM, "--rehearse", str(config), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**BARE, **(env or {})}
        )
        self.said = ""
        self.told = ""

    def end(self, within: float = 120.0) -> int:
        """Wait for its end; returns its exit code. `said` is then its standard output, `told` its standard error."""
        try:
            self.said, self.told = self.process.communicate(timeout=within)
        finally:
            self.process.kill()
            self.process.wait()
        return self.process.returncode

    @property
    def card(self) -> Card:
        """The report card that it printed under --json."""
        return msgspec.json.decode(self.said, type=Card)


def graded(*demands: str) -> list[str]:
    """These demands as options."""
    return [word for demand in demands for word in ("--grade", demand)]
