"""What an upstream result means: one table, and the reading that finds the row.

Every attempt ends in one `Outcome`. Its `Kind` names a row of RULES, and the row says all that follows from it:
whether another target may be tried, whether the provider's breaker counts it as a failure, what becomes of the
target, and whom to blame. The rest of the gateway asks the table and never looks at a status code again.

Statuses are read before codes, and codes before types: Anthropic's OpenAI shape labels a rate limit
`invalid_request_error`, so a type alone decides nothing. Text of providers is searched, never passed on: a
`reason` is always in our own words, and of theirs only a code that looks like one is kept.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from oxllm.core import hints
from oxllm.core.hints import Headers


class Kind(Enum):
    """How an attempt ended."""

    SUCCESS = "success"
    BAD_ANSWER = "bad answer"
    """A 2xx that cannot be used, or 101, 204, 206, 3xx."""
    RATE_LIMITED = "rate limited"
    QUOTA = "out of quota"
    TOO_LARGE = "too large"
    """413, or a 429 that no waiting helps: the request is over the limit itself."""
    SERVER_ERROR = "server error"
    """5xx, 408, 425, 498."""
    NETWORK = "network"
    TIMEOUT = "timeout"
    """One of the attempt's own clocks: connect, first byte, answer, idle."""
    AUTH = "auth"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    CONTEXT_LENGTH = "context length"
    UNSUPPORTED = "unsupported"
    """What this target lacks for this request (tools, images, a parameter), or a generation that its model botched."""
    CONTENT_REFUSED = "content refused"
    """A filter said no to the text. Another provider is asked only if the virtual model says so."""
    FOREIGN_STATE = "foreign state"
    """The request carries what another provider sealed or stored; nobody's fault."""
    LOADING = "not ready"
    """This model cannot run there now; the host's other models answer."""
    NOT_FOUND = "not found"
    """A 404 for another reason than the model."""
    CLIENT_ERROR = "client error"
    BROKEN = "broken"
    """Cut, stall, garbage or an error inside the stream, after commit."""
    GONE = "client gone"
    DEADLINE = "deadline"
    """The time of the whole request, or this attempt's share of it, was over."""
    LOST = "lost"
    """Cancelled, since the other of two attempts side by side was faster."""
    STOPPED = "stopped"
    """Broken off, since the gateway ends."""
    WITHHELD = "withheld"
    """Not sent: by the time there was a connection, its target was not to be asked, and another one could be."""


class Cause(Enum):
    """Whom to blame; a label of the metrics."""

    CLIENT = "client"
    AUTH = "auth"
    QUOTA = "quota"
    CAPACITY = "capacity"
    NETWORK = "network"
    GATEWAY = "gateway"
    """Ourselves: a model name in our configuration that the provider does not know, or a limit of our own."""


class Effect(Enum):
    """What becomes of the target; times are in `cooldown`."""

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
    """What a client is told whose last or only target ended so."""

    LATER = "try again later: with Retry-After"
    FINAL = "nothing that makes an SDK ask again"
    AS_RECEIVED = "the provider's own answer"


class Rule(msgspec.Struct, frozen=True):
    """One row: what follows from a Kind."""

    failover: bool
    """Another target may be tried, as long as nothing is committed and time is left."""
    breaker: bool
    """Counts as a failure of the provider. (SUCCESS counts as success; the rest moves nothing.)"""
    effect: Effect
    cause: Cause | None
    last: Last = Last.LATER


RULES: dict[Kind, Rule] = {
    #                          failover breaker
    Kind.SUCCESS: Rule(False, False, Effect.NONE, None),
    Kind.BAD_ANSWER: Rule(True, True, Effect.NONE, Cause.NETWORK),
    Kind.RATE_LIMITED: Rule(True, False, Effect.RATE, Cause.CAPACITY),
    Kind.QUOTA: Rule(True, False, Effect.QUOTA, Cause.QUOTA, Last.FINAL),
    Kind.TOO_LARGE: Rule(True, False, Effect.NONE, Cause.CLIENT, Last.FINAL),
    Kind.SERVER_ERROR: Rule(True, True, Effect.HINT, Cause.CAPACITY),
    Kind.NETWORK: Rule(True, True, Effect.NONE, Cause.NETWORK),
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
    Kind.WITHHELD: Rule(True, False, Effect.NONE, Cause.GATEWAY),
}


class Outcome(msgspec.Struct, frozen=True):
    """How one attempt ended, ready to be acted upon and to be shown."""

    kind: Kind
    reason: str
    """In our own words, short: "HTTP 502", "connection refused", "no content within 60 s"."""
    status: int | None = None
    """The provider's."""
    code: str | None = None
    """The provider's error code or, without one, its error type."""
    retry_after: float | None = None
    """Its hint in seconds from now."""
    same_target: bool = False
    """This very failure may be retried at the same target: 500, 502, reset or EOF before any response byte."""
    of_target: bool = False
    """Of QUOTA: it holds for this target alone, since it names a model or comes through a relay."""
    in_band: bool = False
    """It was said inside a 2xx: `status` is the one that the error names, and nothing can be passed on as received."""
    counts: bool = False
    """Of DEADLINE: the attempt had 10 s or its own limit, so that it counts for the breaker after all."""

    @property
    def rule(self) -> Rule:
        """The row of the table."""
        return RULES[self.kind]

    @property
    def is_failure(self) -> bool:
        """Counts as a failure of the provider."""
        return self.counts or RULES[self.kind].breaker


SUCCESS = Outcome(Kind.SUCCESS, "complete")
GONE = Outcome(Kind.GONE, "client went away")
LOST = Outcome(Kind.LOST, "another target was faster")


class Failure(Enum):
    """How the network failed."""

    DNS = "name not found"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    TLS = "TLS failed"
    PROXY = "proxy refused"
    RESET = "connection reset"
    EOF = "connection closed"
    PROTOCOL = "not HTTP"
    WITHHELD = "not to be asked any more when there was a connection"
    """It did not fail: the exchange has told the connection's owner not to send."""


def network(failure: Failure, before_response: bool, detail: str = "") -> Outcome:
    """A connection that failed. `before_response`: not one byte of an answer had come."""
    reason = f"{failure.value}: {_printable(detail)}" if detail else failure.value
    if failure is Failure.WITHHELD:
        return Outcome(Kind.WITHHELD, reason)
    may_repeat = before_response and failure in {Failure.RESET, Failure.EOF}
    return Outcome(Kind.NETWORK, reason, same_target=may_repeat)


KIND_OF_STATUS = {
    401: Kind.AUTH,
    402: Kind.QUOTA,
    403: Kind.FORBIDDEN,
    404: Kind.MISSING,
    408: Kind.SERVER_ERROR,
    413: Kind.TOO_LARGE,
    425: Kind.SERVER_ERROR,
    498: Kind.SERVER_ERROR,  # Groq: capacity exceeded
}
"""Where the status alone decides; 400 and 429 need the body, the other 4xx are the client's."""

WORDS = {
    Kind.BAD_ANSWER: "not an answer",
    Kind.RATE_LIMITED: "rate limited",
    Kind.QUOTA: "out of quota or credit",
    Kind.TOO_LARGE: "request too large",
    Kind.AUTH: "key refused",
    Kind.FORBIDDEN: "forbidden",
    Kind.MISSING: "model or path not found",
    Kind.CONTEXT_LENGTH: "context length exceeded",
}
"""What a reason says beside the status, where the status alone would not say it."""

QUOTA_CODES = {
    "insufficient_quota",  # OpenAI; as type with a null code, too
    "billing_hard_limit_reached",
    "billing_not_active",
    "exceeded_current_quota_error",  # Moonshot
    "insufficient_balance",
}
CONTEXT_CODES = {"context_length_exceeded", "exceed_context_size_error"}  # OpenAI, Groq; llama.cpp
_CONTEXT_WORDS = re.compile(
    rb"maximum context length"  # vLLM, OpenRouter, DeepSeek, Mistral
    rb"|prompt is too long"  # Anthropic
    rb"|input token count.{0,40}exceeds the maximum"  # Gemini
    rb"|exceeds the available context size",  # llama.cpp
    re.IGNORECASE | re.DOTALL,
)
_LIMIT_WORDS = re.compile(rb"limit:? (\d{1,15})\b.{0,80}?requested:? (\d{1,15})\b", re.IGNORECASE | re.DOTALL)


def classify(status: int, headers: Headers, body: bytes, now_wall: float) -> Outcome:
    """The meaning of a whole response that is no answer (its first 256 KiB will do). Never raises."""
    word = error_word(body)
    kind = _kind(status, word, body)
    words = WORDS.get(kind)
    return Outcome(
        kind,
        f"HTTP {status}: {words}" if words else f"HTTP {status}",
        status,
        _without_secrets(status, word),
        _hint(kind, headers, body, now_wall),
        same_target=status in {500, 502},
    )


NAMED_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "api_error": 500,
    "server_error": 500,
    "overloaded_error": 529,
}
"""The HTTP error that a code or type names, where it comes without one."""


def in_band(payload: bytes, now_wall: float, otherwise: str = "an error in the answer") -> Outcome:
    """The meaning of an error inside a 2xx, in its body or in an event: that of the HTTP error which it names.

    `otherwise`: our own words for one that names none, which is a BAD_ANSWER. Never raises.
    """
    word = error_word(payload)
    status = int(word) if word is not None and word.isdigit() else NAMED_STATUS.get(word or "", 0)
    if not 400 <= status <= 599:
        return Outcome(Kind.BAD_ANSWER, otherwise, code=word)
    found = classify(status, (), payload, now_wall)
    return msgspec.structs.replace(found, reason=f"{otherwise}: {found.reason}", same_target=False, in_band=True)


def _kind(status: int, word: str | None, body: bytes) -> Kind:
    if status < 400:
        return Kind.BAD_ANSWER
    if status >= 500:
        return Kind.SERVER_ERROR
    if status == 429:
        return _kind_of_429(word, body)
    if status == 400 and (word in CONTEXT_CODES or _CONTEXT_WORDS.search(body)):
        return Kind.CONTEXT_LENGTH
    return KIND_OF_STATUS.get(status, Kind.CLIENT_ERROR)


def _kind_of_429(word: str | None, body: bytes) -> Kind:
    """Gemini words a rate limit as OpenAI words a quota, so prose decides only about size."""
    if word in QUOTA_CODES:
        return Kind.QUOTA
    limit = _LIMIT_WORDS.search(body)
    if b"equest too large" in body or (limit is not None and int(limit[2]) > int(limit[1])):
        return Kind.TOO_LARGE
    return Kind.RATE_LIMITED


def _hint(kind: Kind, headers: Headers, body: bytes, now_wall: float) -> float | None:
    effect = RULES[kind].effect
    if effect is Effect.RATE:
        return hints.retry_after(headers, body, now_wall)
    return hints.retry_after_header(headers, now_wall) if effect is Effect.HINT else None


_NOTHING = msgspec.Raw(b"")


class _Error(msgspec.Struct, frozen=True):
    """An error object, nested or flat. Raw, since any field may have any type: one oddity must not hide the rest."""

    error: msgspec.Raw = _NOTHING
    code: msgspec.Raw = _NOTHING
    type: msgspec.Raw = _NOTHING
    status: msgspec.Raw = _NOTHING


_error = msgspec.json.Decoder(_Error)
_errors = msgspec.json.Decoder(list[msgspec.Raw])
_word = msgspec.json.Decoder(str | int)
_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
_PLAIN_CODE = re.compile(r"\d{1,5}|[A-Za-z_]{1,64}")


def error_word(body: bytes) -> str | None:
    """What an error body of any dialect calls its error; None if nothing in it is fit to be shown.

    Its code; if that is absent or only a number, its type (Gemini's `status`), and else that number. Read from
    `{"error": {…}}` (OpenAI and most), `{"type": "error", "error": {…}}` (Anthropic), the flat form (old vLLM,
    Mistral) and a list of one (Gemini).
    """
    try:
        error = _innermost(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    code = _as_word(error.code)
    if code is not None and not code.isdigit():
        return code
    return _as_word(error.type) or _as_word(error.status) or code


def _innermost(body: bytes) -> _Error:
    if body[:1] == b"[":
        body = bytes(next(iter(_errors.decode(body)), b""))
    outer = _error.decode(body)
    return _error.decode(outer.error) if bytes(outer.error)[:1] == b"{" else outer


def _as_word(raw: msgspec.Raw) -> str | None:
    """Codes are identifiers or numbers; prose in their place is not passed on."""
    try:
        word = str(_word.decode(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return word if _CODE.fullmatch(word) else None


def _without_secrets(status: int, code: str | None) -> str | None:
    """Who refuses a key may quote it: of a 401 or 403 only a code of letters or a number is shown."""
    if code is not None and status in {401, 403} and not _PLAIN_CODE.fullmatch(code):
        return None
    return code


def _printable(text: str) -> str:
    return "".join(char if " " <= char <= "~" else "?" for char in text[:100])
