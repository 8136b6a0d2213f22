"""When to come back: rate-limit hints in every form that providers send.

| form | example | who |
|---|---|---|
| milliseconds | `retry-after-ms: 1500` | Azure, OpenAI |
| seconds, with fractions | `retry-after: 18.6`, `x-ratelimit-reset-tokens: 2` | RFC 9110 10.2.3; Mistral |
| HTTP date, all three spellings | `retry-after: Sun, 06 Nov 1994 08:49:37 GMT` | RFC 9110 5.6.7 |
| Go duration | `x-ratelimit-reset-requests: 6m0s`, `120ms` | OpenAI, Groq |
| epoch, seconds or ms | `X-RateLimit-Reset: 1736900000000` | OpenRouter, inside `error.metadata.headers` |
| RFC 3339 | `anthropic-ratelimit-tokens-reset: 2025-01-01T00:00:00Z` | Anthropic |
| prose in the body | `Please try again in 18.642s`, `retry after 86400 seconds` | OpenAI, Azure |
| Google's RetryInfo | `"retryDelay": "52s"` | Gemini |

A hint is a number of seconds from now. What is no number, not in the future or not readable is no hint; one past an
hour is an hour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import msgspec

Headers = Sequence[tuple[bytes, bytes]]
"""Of a response, in order; names lower-case."""

HINT_MAX = 3600.0
"""Seconds. Azure's day-long hints are real, but an hour later the world may have changed: ask again then."""
PREDICTIVE_MAX = 60.0
"""Seconds. A limit that resets later than that is a daily one: using up the rest of it is the provider's call."""
BODY_MAX = 65536
"""Bytes of a body that are searched for prose."""

EPOCH = 1e9
"""From here on a number is a date (2001), not a wait of 31 years."""
EPOCH_MS = 1e11
"""From here on that date is in milliseconds (1973; as seconds it would be the year 5138)."""

UNITS = {b"d": 86400.0, b"h": 3600.0, b"m": 60.0, b"s": 1.0, b"ms": 1e-3, b"us": 1e-6, b"\xc2\xb5s": 1e-6, b"ns": 1e-9}
PROSE_UNITS = {b"min": 60.0, b"hour": 3600.0, b"day": 86400.0, b"sec": 1.0}

_NUMBER = re.compile(rb"\d+(?:\.\d*)?|\.\d+")
_STEP = re.compile(rb"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|\xc2\xb5s|ns)")
_DURATION = re.compile(rb"(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|us|\xc2\xb5s|ns))+")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)")
_IMF_DATE = re.compile(rb"\w{3}, (?P<d>\d\d) (?P<b>\w{3}) (?P<y>\d{4}) (?P<t>\d\d:\d\d:\d\d) GMT")
_RFC850_DATE = re.compile(rb"\w{6,9}, (?P<d>\d\d)-(?P<b>\w{3})-(?P<y>\d\d) (?P<t>\d\d:\d\d:\d\d) GMT")
_ASCTIME_DATE = re.compile(rb"\w{3} (?P<b>\w{3}) (?P<d>[ \d]\d) (?P<t>\d\d:\d\d:\d\d) (?P<y>\d{4})")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_PROSE = re.compile(
    rb"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:d|h|ms|m|s))+)(?![a-z])"
    rb"|(?:try again|retry) (?:in|after) (\d+(?:\.\d+)?) ?(milli)?(sec|min|hour|day)",
    re.IGNORECASE,
)
_RETRY_DELAY = re.compile(rb'\\?"retryDelay\\?"\s*:\s*\\?"(\d+(?:\.\d+)?s)')
_LIMIT_HEADER = re.compile(
    rb"x-ratelimit-(?P<what>remaining|reset)(?P<of>-[a-z-]+)?|anthropic-ratelimit-(?P<of2>[a-z-]+)-(?P<what2>remaining|reset)"
)


def retry_after(headers: Headers, body: bytes, now_wall: float) -> float | None:
    """Seconds until the provider wants to be asked again, at most an hour; None without a readable hint."""
    hint = _from_headers(headers, now_wall)
    if hint is None and body:
        hint = _from_headers(_metadata_headers(body), now_wall) or _prose(body[:BODY_MAX])
    return None if hint is None else min(hint, HINT_MAX)


def retry_after_header(headers: Headers, now_wall: float) -> float | None:
    """The same from `retry-after-ms` and `retry-after` alone: what a 5xx may ask for."""
    hint = _asked(headers, now_wall)
    return None if hint is None else min(hint, HINT_MAX)


def predictive(headers: Headers, now_wall: float) -> float | None:
    """Seconds until the reset of a limit that a successful answer has just used up; None if not or not within 60 s."""
    for name, _ in headers:
        if name.startswith((b"x-ratelimit-remaining", b"anthropic-ratelimit")):
            waits = [wait for wait in _exhausted(headers, now_wall) if wait <= PREDICTIVE_MAX]
            return max(waits, default=None)
    return None


def _from_headers(headers: Headers, now_wall: float) -> float | None:
    return _asked(headers, now_wall) or max(_exhausted(headers, now_wall), default=None)


def _asked(headers: Headers, now_wall: float) -> float | None:
    hint = None
    for name, value in headers:
        if name == b"retry-after-ms" and (wait := _milliseconds(value)) is not None:
            return wait
        if name == b"retry-after" and hint is None:
            hint = seconds(value, now_wall)
    return hint


def _exhausted(headers: Headers, now_wall: float) -> Iterator[float]:
    """The readable resets of those dimensions of which nothing remains."""
    resets, empty = {}, set()
    for name, value in headers:
        match = _LIMIT_HEADER.fullmatch(name)
        if match is None:
            continue
        dimension = (match["of"] or match["of2"] or b"").strip(b"-")
        if (match["what"] or match["what2"]) == b"reset":
            resets[dimension] = value
        elif _number(value.strip()) == 0:
            empty.add(dimension)
    for dimension in empty:
        wait = seconds(resets.get(dimension, b""), now_wall)
        if wait is not None:
            yield wait


def seconds(value: bytes, now_wall: float) -> float | None:
    """A wait or a moment in any of the forms above, as seconds from now, unclamped; None unless that is positive."""
    value = value.strip()
    number = _number(value)
    if number is not None:
        wait = _since_epoch(number, now_wall)
    elif _DURATION.fullmatch(value):
        wait = _duration(value)
    else:
        moment = _http_date(value, now_wall) or _rfc3339(value)
        wait = 0.0 if moment is None else moment - now_wall
    return wait if wait > 0 else None


def _number(value: bytes) -> float | None:
    return float(value) if _NUMBER.fullmatch(value) else None


def _milliseconds(value: bytes) -> float | None:
    number = _number(value.strip())
    return number / 1000 if number else None


def _since_epoch(number: float, now_wall: float) -> float:
    if number < EPOCH:
        return number
    return (number if number < EPOCH_MS else number / 1000) - now_wall


def _duration(value: bytes) -> float:
    return sum(float(number) * UNITS[unit] for number, unit in _STEP.findall(value))


def _rfc3339(value: bytes) -> float | None:
    text = value.decode("latin-1")
    if not _RFC3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(value: bytes, now_wall: float) -> float | None:
    match = _IMF_DATE.fullmatch(value) or _RFC850_DATE.fullmatch(value) or _ASCTIME_DATE.fullmatch(value)
    if match is None or match["b"] not in _MONTHS:
        return None
    hour, minute, second = map(int, match["t"].split(b":"))
    year = _full_year(match["y"], now_wall)
    try:
        # A leap second (:60) is as good as the second before it.
        moment = datetime(
            year, _MONTHS.index(match["b"]) + 1, int(match["d"]), hour, minute, min(second, 59), tzinfo=UTC
        )
    except ValueError:
        return None
    return moment.timestamp()


def _full_year(digits: bytes, now_wall: float) -> int:
    """RFC 9110 5.6.7: a two-digit year that seems over 50 years in the future is of the past."""
    if len(digits) == 4:
        return int(digits)
    this_year = datetime.fromtimestamp(now_wall, UTC).year
    year = this_year // 100 * 100 + int(digits)
    return year - 100 if year > this_year + 50 else year


def _prose(body: bytes) -> float | None:
    match = _RETRY_DELAY.search(body) or _PROSE.search(body)
    if match is None:
        return None
    if match[1]:
        return _duration(match[1].lower()) or None
    return float(match[2]) * PROSE_UNITS[match[4].lower()] * (1e-3 if match[3] else 1.0) or None


class _Metadata(msgspec.Struct, frozen=True):
    headers: dict[str, msgspec.Raw] = {}


class _WithMetadata(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class _OpenRouter(msgspec.Struct, frozen=True):
    """The one body that has headers inside: only this path of it is read, the rest is skipped."""

    error: _WithMetadata = _WithMetadata()


_openrouter = msgspec.json.Decoder(_OpenRouter)


def _metadata_headers(body: bytes) -> list[tuple[bytes, bytes]]:
    try:
        found = _openrouter.decode(body).error.metadata.headers
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return []
    return [(name.lower().encode(), bytes(value).strip(b'"')) for name, value in found.items()]
