"""The stages of the process's shutdown. `drain` moves it on; others only look.

RUNNING   serves
LAME      a signal has come: the listener stays open for `drain_delay_secs`, /health says 503
DRAINING  the kernel's queue is accepted, then the listener and idle connections are closed; responses finish
DONE      nothing is left; what had not ended by `drain_timeout_secs` or a second signal was given an error
"""

from __future__ import annotations

from typing import Final

from oxllm.core import machine
from oxllm.core.machine import Table


class LifeStage(machine.State):
    """Where a process is in its life."""

    RUNNING = "running"
    LAME = "lame"
    DRAINING = "draining"
    DONE = "done"


class LifeEvent(machine.Event):
    """What moves it on."""

    SIGNAL = "told to stop"
    CLOSE = "no more connections are taken"
    END = "nothing is left, or no time"


RUNNING: Final[LifeStage] = LifeStage.RUNNING
LAME: Final[LifeStage] = LifeStage.LAME
DRAINING: Final[LifeStage] = LifeStage.DRAINING
DONE: Final[LifeStage] = LifeStage.DONE
SIGNAL: Final[LifeEvent] = LifeEvent.SIGNAL
CLOSE: Final[LifeEvent] = LifeEvent.CLOSE
END: Final[LifeEvent] = LifeEvent.END

TABLE: Final = Table(
    {
        (RUNNING, SIGNAL): LAME,
        (LAME, CLOSE): DRAINING,
        (DRAINING, END): DONE,
    }
)


class Life:
    """The stage of one process."""

    __slots__ = ("draining", "stage", "until")

    def __init__(self) -> None:
        self.stage = RUNNING
        self.until: float | None = None
        """When what is left will be cut off, in loop time; None until a drain begins."""
        self.draining = False
        """Connections close after the response under way. Stored, not computed, since each response looks at it."""

    def __repr__(self) -> str:
        return f"<Life {self.stage.name}>"

    def move(self, event: LifeEvent) -> None:
        """Go on to the next stage."""
        self.stage = TABLE.move(self.stage, event)
        self.draining = self.stage is DRAINING or self.stage is DONE

    @property
    def stopping(self) -> bool:
        """A signal to stop has come."""
        return self.stage is not RUNNING
