"""How far the process is on its way out. `drain` moves it on; who has to know looks here.

RUNNING ──signal──► LAME (drain_delay_secs: the listener stays open, /health says 503)
        ──────────► DRAINING (listener closed, idle connections closed, responses finish)
        ──drain_timeout_secs or a second signal──► what is left gets an error, DONE
"""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """Where a process is in its life."""

    RUNNING = 0
    LAME = 1
    DRAINING = 2
    DONE = 3


RUNNING, LAME, DRAINING, DONE = Stage

NEXT = {
    RUNNING: (LAME,),
    LAME: (DRAINING,),
    DRAINING: (DONE,),
    DONE: (),
}


class Life:
    """The stage of one process."""

    __slots__ = ("draining", "stage", "until")

    def __init__(self) -> None:
        self.stage = RUNNING
        self.until: float | None = None
        """When what is left will be cut, in loop time; None as long as nothing is said about it."""
        self.draining = False
        """No response is followed by another on its connection. Read with each response, so it is kept beside."""

    def __repr__(self) -> str:
        return f"<Life {self.stage.name}>"

    def enter(self, stage: Stage) -> None:
        """Go on to `stage`."""
        assert stage in NEXT[self.stage], (self.stage, stage)
        self.stage = stage
        self.draining = stage >= DRAINING

    @property
    def stopping(self) -> bool:
        """A signal to stop has come."""
        return self.stage is not RUNNING
