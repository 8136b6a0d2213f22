"""When to retry: rate-limit hints in every form that providers send.

| form | example | who |
|---|---|---|
| milliseconds | `retry-after-ms: 1500` | Azure, OpenAI |
| seconds, with fractions | `retry-after: 18.6`, `x-ratelimit-reset-tokens: 2` | RFC 9110 10.2.3; Mistral |
| HTTP date, all three spellings | `retry-after: Sun, 06 Nov 1994 08:49:37 GMT` | RFC 9110 5.6.7 |
| Go duration | `x-ratelimit-reset-requests: 6m0s`, `120ms` | OpenAI, Groq |
| its own name for the first | `x-retry-after`, `x-ms-retry-after-ms` | AWS, Azure, gateways |
| seconds, without `x-` | `ratelimit-reset: 23`, `ratelimitbysize-reset: 28` | Kong, Mistral |
| a structured field | `ratelimit: "api";r=0;t=42` | Hugging Face; draft-ietf-httpapi-ratelimit-headers |
| ISO 8601 duration | `retry-after: PT30S`, `Try again in PT1M30S` | Java and .NET gateways |
| epoch, seconds or ms | `X-RateLimit-Reset: 1736900000000` | OpenRouter, inside `error.metadata.headers` |
| RFC 3339 | `anthropic-ratelimit-tokens-reset: 2025-01-01T00:00:00Z` | Anthropic |
| members of the error | `"retryDelay": "52s"`, `"estimated_time": 20.0` | Gemini, Hugging Face |
| an error's own words | `Please try again in 18.642s`, `retry after 86400 seconds`, `Retry-After: 12` | OpenAI, Azure |

A hint is a number of seconds from now. A value that is unreadable or not in the future is ignored; more than an hour
counts as an hour. What is a moment is compared with the clock of the provider (its `date`), not with ours, which may
be wrong by hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Final

from oxllm.core.known import Known

Headers = Sequence[tuple[bytes, bytes]]
"""Header fields of a response, in order; names in lower case."""

Waits = Sequence[tuple[str, bytes]]
"""Members of an error's JSON: (name, raw value)."""

HINT_MAX = 3600.0
"""Seconds. Azure's day-long hints are real, but an hour later things may have changed: ask again then."""
REFILL_MAX = 60.0
"""Seconds. Anthropic's resets say when a bucket is full again, but it lets requests through long before that."""
PREDICTIVE_MAX = 60.0
"""Seconds. A limit that resets later than that is a daily one: whether it is used up is for the provider to say."""
SKEW_MIN = 2.0
"""Seconds between a provider's clock and ours that do not count: its `date` has whole seconds, and took a while."""
EPOCH = 1e9
"""A number from here on is a date (2001), not a wait of 31 years."""
EPOCH_MS = 1e11
"""A number from here on is a date in milliseconds (1973; in seconds it would be the year 5138)."""

UNITS = {b"d": 86400.0, b"h": 3600.0, b"m": 60.0, b"s": 1.0, b"ms": 1e-3, b"us": 1e-6, b"\xc2\xb5s": 1e-6, b"ns": 1e-9}
PROSE_UNITS = {
    "d": 86400.0,
    "day": 86400.0,
    "h": 3600.0,
    "hou": 3600.0,
    "hr": 3600.0,
    "hrs": 3600.0,
    "m": 60.0,
    "min": 60.0,
    "s": 1.0,
    "sec": 1.0,
    "ms": 1e-3,
    "mil": 1e-3,
    "mse": 1e-3,
}
"""Units in prose by their names or first three letters."""

_NUMBER = re.compile(rb"\d+(?:\.\d*)?|\.\d+")
_IN_SECONDS = re.compile(rb"\s+sec(?:ond)?s?\s*$", re.IGNORECASE)
_STEP = re.compile(rb"(\d+(?:\.\d+)?)(d|h|ms|m|s|us|\xc2\xb5s|ns)")
_DURATION = re.compile(rb"(?:\d+(?:\.\d+)?(?:d|h|ms|m|s|us|\xc2\xb5s|ns))+")
_ISO = re.compile(
    r"P(?=T?\d)(?:(?P<d>\d{1,9})D)?(?:T(?:(?P<h>\d{1,9})H)?(?:(?P<m>\d{1,9})M)?(?:(?P<s>\d{1,9}(?:\.\d{1,9})?)S)?)?",
    re.IGNORECASE,
)
"""A duration of ISO 8601, which Java and .NET print: days at most."""
_ISO_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]| ?(?:UTC|GMT)\b|[+-]\d\d:\d\d)")
_UTC = re.compile(r" ?(?:UTC|GMT)$")
_IMF_DATE = re.compile(rb"\w{3}, (?P<d>\d\d) (?P<b>\w{3}) (?P<y>\d{4}) (?P<t>\d\d:\d\d:\d\d) GMT")
_RFC850_DATE = re.compile(rb"\w{6,9}, (?P<d>\d\d)-(?P<b>\w{3})-(?P<y>\d\d) (?P<t>\d\d:\d\d:\d\d) GMT")
_ASCTIME_DATE = re.compile(rb"\w{3} (?P<b>\w{3}) (?P<d>[ \d]\d) (?P<t>\d\d:\d\d:\d\d) (?P<y>\d{4})")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_QUANTITY = r"\d+(?:\.\d+)?"
_UNIT = r"milliseconds?|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d"
_AMOUNT = rf"{_QUANTITY}\s*(?:more )?(?:{_UNIT})(?![a-z])"
_AMOUNTS = rf"{_AMOUNT}(?:[\s,]{{0,4}}(?:and )?{_AMOUNT}){{0,4}}"
_PROSE_STEP = re.compile(rf"({_QUANTITY})\s*(?:more )?({_UNIT})(?![a-z])", re.IGNORECASE)
_PROSE = re.compile(
    r"(?:try (?:(?:your|the) request )?again|come back|retry|retrying|wait(?:ing)?|sleep|resets?|renews?"
    r"|replenish(?:ed|es)|lifted|available|back ?off|cool(?:ing)?[ -]?down|refresh(?:es|ed)"
    r"|(?:allowed|accepted|requests) again|(?:limited|throttled|blocked|locked out|paused)(?= for )"
    r"|(?:next|another) request(?: is| can be)?(?: allowed| possible| sent| made)?)"
    r"(?:[ _]?(?:again|later|time|period|delay|remaining|is possible|for|in|of|after|at|at least|about|approximately"
    r"|another|the|next|request|your request)){0,4}(?:\s?[:=]\s?|\s+)[~(]?"
    rf"(?:(?P<clock>\d{{1,3}}:\d\d:\d\d)|(?P<moment>{_RFC3339.pattern}|1\d{{9}}(?:\d{{3}})?\b)"
    r"|(?:an?|one) (?P<one>second|minute|hour)\b"
    r"|(?P<iso>PT?\d[\dDHMST.]{0,30}[DHMS])\b"
    rf"|(?P<wait>{_AMOUNTS}))",
    re.IGNORECASE,
)
_AND_THEN = re.compile(
    rf"\b(?:in|after) (?P<wait>{_AMOUNTS})[, ]{{1,2}}(?:you (?:can|may) )?(?:then )?(?:please )?(?:try|retry|send)\b",
    re.IGNORECASE,
)
"""The same the other way round: "after 30 seconds you may try again"."""
_BARE = re.compile(
    r"\bretry(?:[-_ ]after\s?[:=]?|_delay \{\s{0,9}seconds:)\s?(\d{1,5}(?:\.\d{1,9})?)"
    r"(?=\s*(?:\Z|[,;)\]}\n]|\.(?!\d)))",
    re.IGNORECASE,
)
"""The header field in prose, or Google's member as Python prints it: seconds without a unit, and nothing after them."""
SIGNS = {
    "\u6beb\u79d2": 1e-3,
    **dict.fromkeys(("\u79d2", "\ucd08", "\u0441\u0435\u043a"), 1.0),
    **dict.fromkeys(("\u5206\u949f", "\u5206\u9418", "\u5206", "\ubd84", "\u043c\u0438\u043d"), 60.0),
    **dict.fromkeys(("\u5c0f\u65f6", "\u5c0f\u6642", "\u6642\u9593", "\uc2dc\uac04", "\u0447\u0430\u0441"), 3600.0),
}
_SIGN_UNITS = "|".join(sorted(SIGNS, key=len, reverse=True))
_SIGNS = re.compile(
    rf"((?:через|подождите|等待|等候)\s?)?(\d{{1,9}}(?:\.\d{{1,9}})?)\s*({_SIGN_UNITS})"
    r"(?(1)|\s?(?:之?[后後]|後に|待|후|뒤|를 기다|동안 기다))",
    re.IGNORECASE,
)
"""The same in Chinese, Japanese, Korean and Russian: so many (milli)seconds, minutes or hours from now."""
_AHEAD = re.compile(
    r"\b(?:(?:em|en|dans|tra|fra|apr[eè]s|attendez|patientez|espere|aguarde|attendi)\s+"
    r"(?P<n>\d{1,9})\s*(?P<u>segund|second|min|hora|heure|or[ae])"
    r"|(?:in|nach|warten sie)\s+(?P<n2>\d{1,9})\s*(?P<u2>sekund|minuten|stund))",
    re.IGNORECASE,
)
"""The same in Portuguese, Spanish, French, Italian and German."""
_LIMIT_HEADER = re.compile(
    rb"(?P<by>(?:x-)?rate-?limit(?:bysize)?)-(?P<what>remaining|reset)(?:-after)?(?P<of>-[a-z-]+)?"
    rb"|anthropic-ratelimit-(?P<of2>[a-z-]+)-(?P<what2>remaining|reset)"
)
STANDARD = b"ratelimit"
"""The field of draft-ietf-httpapi-ratelimit-headers from 07 on: a list of limits, or a single one."""
_PARAMETER = re.compile(rb"(?:^|[;,\s])(r|t|remaining|reset)=([\d.]+)")
_SPENT = re.compile(rb"(?:^|[;,\s])(?:r|remaining)=0(?![\d.])")
_STRING = re.compile(rb'"[^"]*"')

_NOT_ZERO: Final = frozenset(b"%d" % digit for digit in range(1, 10))
"""First digits of a number that is not 0."""


def wall_of(headers: Headers, now_wall: float) -> float:
    """Now by the clock of who sent these headers, in seconds since the epoch; by ours if they agree, or do not say.

    `age` is how long an answer was stored on its way (RFC 9111 section 4.2.3).
    """
    date, age = None, 0.0
    for name, value in headers:
        if name == b"date":
            date = _http_date(value.strip(), now_wall)
        elif name == b"age":
            age = _number(value.strip()) or 0.0
    if date is None or abs(date + age - now_wall) <= SKEW_MIN:
        return now_wall
    return date + age


def retry_after(headers: Headers, inner: Headers, waits: Waits, now_wall: float) -> float | None:
    """Seconds until the provider wants the retry, not clamped; None without a readable hint.

    `inner`: headers that a relay repeats in its error; `waits`: members of the error that say when to retry, names in
    lower case without `_`.
    """
    return _from_headers(headers, now_wall) or _from_headers(inner, now_wall) or _members(waits, now_wall)


def retry_after_header(headers: Headers, now_wall: float) -> float | None:
    """The same from `retry-after-ms` and `retry-after` alone, clamped: all that a 5xx may ask for."""
    hint = _asked(headers, now_wall)
    return None if hint is None else min(hint, HINT_MAX)


def predictive(headers: Headers, now_wall: float) -> float | None:
    """Seconds until a limit resets that a successful answer has just used up; None if none was, or not within 60 s."""
    for name, value in headers:
        if _names[name] and value[:1] not in _NOT_ZERO and (_number(value.strip()) == 0 or _SPENT.search(value)):
            waits = [wait for wait in _exhausted(headers, wall_of(headers, now_wall)) if wait <= PREDICTIVE_MAX]
            return max(waits, default=None)
    return None


def _says_what_remains(name: bytes) -> bool:
    match = _LIMIT_HEADER.fullmatch(name)
    return name == STANDARD or (match is not None and (match["what"] or match["what2"]) == b"remaining")


_names: Final[dict[bytes, bool]] = Known(_says_what_remains)


def _from_headers(headers: Headers, now_wall: float) -> float | None:
    return _asked(headers, now_wall) or max(_exhausted(headers, now_wall, REFILL_MAX), default=None)


def _asked(headers: Headers, now_wall: float) -> float | None:
    hint = None
    for name, value in headers:
        if name.endswith(b"retry-after-ms") and (wait := _milliseconds(value)) is not None:
            return wait
        if name.endswith(b"retry-after") and hint is None:
            hint = seconds(_IN_SECONDS.sub(b"", value), now_wall)
    return hint


def _exhausted(headers: Headers, now_wall: float, refill_max: float = inf) -> Iterator[float]:
    """Seconds until the reset of each dimension of which nothing remains. `refill_max`: the longest wait for a bucket
    that refills continuously (Anthropic's)."""
    resets, empty = {}, set()
    for name, value in headers:
        if name == STANDARD:
            yield from _spent(value, now_wall)
        match = _LIMIT_HEADER.fullmatch(name)
        if match is None:
            continue
        dimension = match["by"], (match["of"] or match["of2"] or b"").strip(b"-")
        if (match["what"] or match["what2"]) == b"reset":
            resets[dimension] = value
        elif _number(value.strip()) == 0:
            empty.add(dimension)
    for dimension in empty:
        wait = seconds(resets.get(dimension, b""), now_wall)
        if wait is not None:
            yield wait if dimension[0] else min(wait, refill_max)


def _spent(value: bytes, now_wall: float) -> Iterator[float]:
    """The same for a structured field: `"burst";r=0;t=9, "day";r=7;t=900`, or `limit=10, remaining=0, reset=9`."""
    value = _STRING.sub(b"", value)
    for limit in [value] if b"remaining" in value else value.split(b","):
        told = dict(_PARAMETER.findall(limit))
        left = _number(told.get(b"r") or told.get(b"remaining") or b"")
        wait = seconds(told.get(b"t") or told.get(b"reset") or b"", now_wall)
        if left == 0 and wait is not None:
            yield wait


def seconds(value: bytes, now_wall: float) -> float | None:
    """A duration or a date in any of the forms above, as seconds from now, not clamped; None unless positive."""
    value = value.strip()
    number = _number(value)
    if number is not None:
        wait = _since_epoch(number, now_wall)
    elif _DURATION.fullmatch(value):
        wait = _duration(value)
    elif (iso := _ISO.fullmatch(value.decode("latin-1"))) is not None:
        wait = sum(float(number) * _ISO_UNITS[unit] for unit, number in iso.groupdict().items() if number)
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
        return datetime.fromisoformat(_UTC.sub("Z", text.upper())).timestamp()
    except (ValueError, OverflowError):
        return None


def _http_date(value: bytes, now_wall: float) -> float | None:
    match = _IMF_DATE.fullmatch(value) or _RFC850_DATE.fullmatch(value) or _ASCTIME_DATE.fullmatch(value)
    if match is None or match["b"] not in _MONTHS:
        return None
    hour, minute, second = map(int, match["t"].split(b":"))
    year = _full_year(match["y"], now_wall)
    try:
        # A leap second (:60) counts as the second before it.
        moment = datetime(
            year, _MONTHS.index(match["b"]) + 1, int(match["d"]), hour, minute, min(second, 59), tzinfo=UTC
        )
    except ValueError:
        return None
    return moment.timestamp()


def _full_year(digits: bytes, now_wall: float) -> int:
    """RFC 9110 5.6.7: a two-digit year that seems over 50 years in the future lies in the past."""
    if len(digits) == 4:
        return int(digits)
    this_year = datetime.fromtimestamp(now_wall, UTC).year
    year = this_year // 100 * 100 + int(digits)
    return year - 100 if year > this_year + 50 else year


def _members(waits: Waits, now_wall: float) -> float | None:
    """Google's RetryInfo first: it is exact."""
    for name, raw in sorted(waits, key=lambda wait: wait[0] != "retrydelay"):
        value = raw.strip(b'"')
        wait = _milliseconds(value) if name.endswith("ms") else seconds(value, now_wall)
        if wait is not None:
            return wait
    return None


def prose(text: str) -> str | None:
    """The words of an error that say when to retry."""
    forms = (_PROSE, _AND_THEN, _BARE, _SIGNS, _AHEAD)
    match = next((match for match in (form.search(text) for form in forms) if match is not None), None)
    return None if match is None else match[0]


def in_prose(text: str, now_wall: float) -> float | None:
    """Seconds until a retry, by an error's own words; None if they do not say."""
    match = _PROSE.search(text)
    if match is None:
        return _in_other_words(text)
    if match["clock"]:
        hours, minutes, secs = map(float, match["clock"].split(":"))
        return hours * 3600 + minutes * 60 + secs or None
    if match["moment"]:
        return seconds(match["moment"].encode(), now_wall)
    if match["iso"]:
        return seconds(match["iso"].encode(), now_wall)
    if match["one"]:
        return PROSE_UNITS[_unit(match["one"])]
    return _amount(match["wait"])


def _amount(said: str) -> float | None:
    """Seconds of "1 minute and 30 seconds"."""
    return sum(float(number) * PROSE_UNITS[_unit(unit)] for number, unit in _PROSE_STEP.findall(said)) or None


def _in_other_words(text: str) -> float | None:
    turned = _AND_THEN.search(text)
    if turned is not None:
        return _amount(turned["wait"])
    bare = _BARE.search(text)
    if bare is not None:
        return float(bare[1]) or None
    signs = _SIGNS.search(text)
    if signs is not None:
        return float(signs[2]) * SIGNS[signs[3].lower()] or None
    ahead = _AHEAD.search(text)
    if ahead is None:
        return None
    unit = ahead["u"] or ahead["u2"]
    return float(ahead["n"] or ahead["n2"]) * {"se": 1.0, "mi": 60.0}.get(unit[:2].lower(), 3600.0) or None


def _unit(word: str) -> str:
    word = word.lower()
    return word if word in PROSE_UNITS else word[:3]
