"""The stages of a client request, and the transitions between them.

CHOOSING    between attempts
BACKING_OFF the jitter before the second try at one target: the only wait there is
TRYING      one attempt is in flight, or two side by side
COMMITTED   an attempt's content went to the client; no other target is used
DONE        the client has its whole response, an error, or has gone
"""

from __future__ import annotations

from typing import Final

from oxllm.core import machine
from oxllm.core.machine import Table


class Stage(machine.State):
    """Where a client request is."""

    CHOOSING = "choosing"
    BACKING_OFF = "backing off"
    TRYING = "trying"
    COMMITTED = "committed"
    DONE = "done"


CHOOSING: Final[Stage] = Stage.CHOOSING  # on 3.11 each look at an Enum's member takes 0.1 µs
BACKING_OFF: Final[Stage] = Stage.BACKING_OFF
TRYING: Final[Stage] = Stage.TRYING
COMMITTED: Final[Stage] = Stage.COMMITTED
DONE: Final[Stage] = Stage.DONE


class ExchangeEvent(machine.Event):
    """What can happen to a client request."""

    TRY = "an attempt begins"
    FAIL = "the last one under way has failed"
    BACK_OFF = "it has, and its target is to be asked once more"
    COMMIT = "an attempt's content goes to the client"
    END = "the client has all that it gets, or is gone"


TRY: Final[ExchangeEvent] = ExchangeEvent.TRY
FAIL: Final[ExchangeEvent] = ExchangeEvent.FAIL
BACK_OFF: Final[ExchangeEvent] = ExchangeEvent.BACK_OFF
COMMIT: Final[ExchangeEvent] = ExchangeEvent.COMMIT
END: Final[ExchangeEvent] = ExchangeEvent.END

TABLE: Final = Table(
    {
        (CHOOSING, TRY): TRYING,
        (CHOOSING, END): DONE,  # nothing left to try
        (TRYING, TRY): TRYING,  # beside another
        (TRYING, FAIL): CHOOSING,
        (TRYING, BACK_OFF): BACKING_OFF,
        (TRYING, COMMIT): COMMITTED,
        (TRYING, END): DONE,  # a whole answer, the client's own error, or the client is gone
        (BACKING_OFF, TRY): TRYING,
        (BACKING_OFF, FAIL): CHOOSING,  # the target became unusable meanwhile
        (BACKING_OFF, END): DONE,
        (COMMITTED, END): DONE,
    }
)
"""All transitions."""
