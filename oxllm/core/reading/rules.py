"""What follows from each way in which an attempt can end: the table (docs/failures.md).

Every attempt ends in one `Kind`, a row of RULES, and the row says all that follows: whether another target may be
tried, whether the provider's breaker counts it, what happens to the target, whom to blame, and what the client is told
if no other target is left. The rest of the gateway asks the table, and never looks at a status code again.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from oxllm.core.shape import Value


class Kind(Enum):
    """How an attempt ended."""

    SUCCESS = "success"
    BAD_ANSWER = "bad answer"
    """A 2xx that cannot be used, or 101, 204, 206, 3xx."""
    RATE_LIMITED = "rate limited"
    QUOTA = "out of quota"
    TOO_LARGE = "too large"
    """413, or a 429 that waiting does not cure: the request alone is over the limit."""
    SERVER_ERROR = "server error"
    """5xx, 408, 425, 498."""
    NETWORK = "network"
    LOCAL = "local"
    """This machine could not connect: it is out of files, ports or memory, had too many TLS handshakes to make, or one
    of its own rules forbids it."""
    TIMEOUT = "timeout"
    """One of the attempt's own clocks: connect, first byte, answer, idle."""
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    CONTEXT_LENGTH = "context length"
    UNSUPPORTED = "unsupported"
    """This target lacks something that the request needs (tools, images, a parameter), or its model botched the
    output."""
    CONTENT_REFUSED = "content refused"
    """A filter refused the text. Another provider is asked only if the virtual model says so."""
    FOREIGN_STATE = "foreign state"
    """The request carries what another provider sealed or stored; nobody's fault."""
    LOADING = "not ready"
    """This model cannot run there now; the host's other models may."""
    NOT_FOUND = "not found"
    """A 404 that is not about the model."""
    CLIENT_ERROR = "client error"
    BROKEN = "broken"
    """Cut, stalled, garbled, or an error inside the stream, after the commit."""
    GONE = "client gone"
    DEADLINE = "deadline"
    """The request's deadline passed."""
    LOST = "lost"
    """Cancelled: the other of two attempts side by side was faster."""
    STOPPED = "stopped"
    """Ended by the gateway itself: it is shutting down, or has a bug."""
    WITHHELD = "withheld"
    """Not sent: by the time there was a connection, the target had become unusable."""


class Cause(Enum):
    """Whom to blame; a label of the metrics."""

    CLIENT = "client"
    AUTH = "auth"
    QUOTA = "quota"
    CAPACITY = "capacity"
    NETWORK = "network"
    GATEWAY = "gateway"
    """Ourselves: a model name in our config that the provider does not know, or a limit of our own."""


class Effect(Enum):
    """What happens to the target; times are in `cooldown`."""

    NONE = "none"
    HINT = "cooled for Retry-After, if given"
    RATE = "cooled for the hint, or longer each time"
    QUOTA = "every target of the provider cooled"
    AUTH = "every target of the provider marked auth"
    FORBIDDEN = "marked auth at the second in a row"
    MISSING = "marked missing"
    NOT_FOUND = "marked missing at the second in a row"
    LOADING = "waited for: the hint, or longer each time"


class Last(Enum):
    """What the client is told if its last or only target ended like this."""

    LATER = "try again later: with Retry-After"
    FINAL = "nothing that makes an SDK ask again"
    AS_RECEIVED = "the provider's own answer"


class Rule(Value, frozen=True):
    """One row: what follows from a Kind."""

    failover: bool
    """Another target may be tried, as long as nothing is committed and time is left."""
    breaker: bool
    """Counts as a failure of the provider. (SUCCESS counts as a success, the others as neither.)"""
    effect: Effect
    cause: Cause | None
    last: Last = Last.LATER


RULES: Final[dict[Kind, Rule]] = {
    #                          failover breaker
    Kind.SUCCESS: Rule(False, False, Effect.NONE, None),
    Kind.BAD_ANSWER: Rule(True, True, Effect.NONE, Cause.NETWORK),
    Kind.RATE_LIMITED: Rule(True, False, Effect.RATE, Cause.CAPACITY),
    Kind.QUOTA: Rule(True, False, Effect.QUOTA, Cause.QUOTA, Last.FINAL),
    Kind.TOO_LARGE: Rule(True, False, Effect.NONE, Cause.CLIENT, Last.FINAL),
    Kind.SERVER_ERROR: Rule(True, True, Effect.HINT, Cause.CAPACITY),
    Kind.NETWORK: Rule(True, True, Effect.NONE, Cause.NETWORK),
    Kind.LOCAL: Rule(True, False, Effect.NONE, Cause.GATEWAY),
    Kind.TIMEOUT: Rule(True, True, Effect.NONE, Cause.NETWORK),
    Kind.AUTH: Rule(True, False, Effect.AUTH, Cause.AUTH, Last.FINAL),
    Kind.FORBIDDEN: Rule(True, False, Effect.FORBIDDEN, Cause.AUTH, Last.FINAL),
    Kind.MISSING: Rule(True, False, Effect.MISSING, Cause.GATEWAY, Last.FINAL),
    Kind.NOT_FOUND: Rule(True, False, Effect.NOT_FOUND, Cause.GATEWAY, Last.FINAL),
    Kind.LOADING: Rule(True, False, Effect.LOADING, Cause.CAPACITY),
    Kind.CONTEXT_LENGTH: Rule(True, False, Effect.NONE, Cause.CLIENT, Last.AS_RECEIVED),
    Kind.UNSUPPORTED: Rule(True, False, Effect.NONE, Cause.CLIENT, Last.AS_RECEIVED),
    Kind.FOREIGN_STATE: Rule(True, False, Effect.NONE, Cause.CLIENT, Last.AS_RECEIVED),
    Kind.CONTENT_REFUSED: Rule(False, False, Effect.NONE, Cause.CLIENT, Last.AS_RECEIVED),
    Kind.CLIENT_ERROR: Rule(False, False, Effect.NONE, Cause.CLIENT, Last.AS_RECEIVED),
    Kind.BROKEN: Rule(False, True, Effect.NONE, Cause.NETWORK),
    Kind.GONE: Rule(False, False, Effect.NONE, Cause.CLIENT),
    Kind.DEADLINE: Rule(True, False, Effect.NONE, Cause.NETWORK),  # counts only if the Outcome says so
    Kind.LOST: Rule(False, False, Effect.NONE, None),
    Kind.STOPPED: Rule(False, False, Effect.NONE, Cause.GATEWAY),
    Kind.WITHHELD: Rule(True, False, Effect.NONE, None),
}
