"""Maps an error to a Kind: the rows in order, the first that holds wins (docs/failures.md).

What an error is about is taken from its codes, else its types, else the first sentence of its message that is about
something, else its status. Not every topic counts under every status: "too many tokens" in a 429 is a rate, in a 400 a
length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from oxllm.core.reading import hints
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.rules import RULES, Effect, Kind
from oxllm.core.reading.sentences import own_words, unframed
from oxllm.core.reading.shapes import Error
from oxllm.core.reading.topics import HARMLESS, Topic, grounds, of_code, of_message

SHORT_S = hints.HINT_MAX
"""A quota with a hint of at most so many seconds is treated as a rate limit: time cures it."""

CODED = ~(Topic.NAMED | Topic.SCHEMA | Topic.UNJUDGED)
ALWAYS = Topic.CONTENT | Topic.QUOTA | Topic.LOADING
REFUSED = ALWAYS | Topic.RATE
"""What any 4xx may be about, but a 401, which is about the key."""
FAILED = ALWAYS | Topic.DOWN
"""What any 5xx may be about."""
UNDER: dict[int, int] = {
    400: REFUSED | Topic.CONTEXT | Topic.FOREIGN | Topic.LACKS | Topic.KEY | Topic.BARRED | Topic.MODEL,
    401: ALWAYS | Topic.KEY | Topic.MODEL,
    403: REFUSED | Topic.CONTEXT | Topic.LACKS | Topic.LEFT | Topic.MODEL,
    404: REFUSED | Topic.CONTEXT | Topic.LACKS | Topic.FOREIGN | Topic.LEFT | Topic.MODEL,
    405: REFUSED | Topic.LACKS | Topic.MODEL,
    410: REFUSED | Topic.MODEL,
    412: REFUSED | Topic.LACKS | Topic.MODEL,
    413: REFUSED | Topic.CONTEXT,
    422: REFUSED | Topic.CONTEXT | Topic.LACKS | Topic.MODEL,
    451: REFUSED | Topic.MODEL,
    500: FAILED | Topic.CONTEXT | Topic.LACKS,
    501: FAILED | Topic.LACKS,
    502: FAILED | Topic.CONTEXT,
}
"""The topics that a sentence may have under a status. Elsewhere REFUSED, or FAILED under a 5xx."""

VENDORS: dict[str, int] = {
    "1004": Topic.KEY,  # Zhipu, MiniMax
    "1008": Topic.QUOTA,  # MiniMax: no balance
    "1026": Topic.CONTENT,  # MiniMax
    "1027": Topic.CONTENT,
    "1039": Topic.RATE,  # MiniMax: tokens a minute
    "1041": Topic.RATE,  # MiniMax: connections
    "1113": Topic.QUOTA,  # Zhipu: no balance
    "1211": Topic.MODEL,  # Zhipu
    "1221": Topic.MODEL,
    "1222": Topic.MODEL,
    "1261": Topic.CONTEXT,  # Zhipu
    "1300": Topic.RATE,  # Mistral
    "1301": Topic.CONTENT,  # Zhipu
    "1302": Topic.RATE,  # Zhipu
    "1303": Topic.RATE,
    "1304": Topic.QUOTA,
    "1305": Topic.RATE,
    "1308": Topic.QUOTA,
    "1311": Topic.MODEL,
    "2045": Topic.RATE,  # MiniMax: growth
    "2049": Topic.KEY,  # MiniMax
    "3051": Topic.CONTEXT,  # Mistral
    "3505": Topic.RATE,  # Mistral: capacity of the tier
    "4006": Topic.QUOTA,  # Cloudflare
    "5007": Topic.MODEL,  # Cloudflare
    "10013": Topic.CONTENT,  # iFlytek
    "10014": Topic.CONTENT,
    "10019": Topic.CONTENT,
    "10907": Topic.CONTEXT,
    "11200": Topic.KEY,
    "11201": Topic.QUOTA,
    "11202": Topic.RATE,
    "11203": Topic.RATE,
    "20012": Topic.MODEL,  # SiliconFlow
    "30001": Topic.QUOTA,
    "336103": Topic.CONTEXT,  # Baidu
    "336501": Topic.RATE,
    "336502": Topic.RATE,
    "invalid_prompt": Topic.CONTENT,  # OpenAI
}
"""Codes whose words say nothing. Used only if the sentences say nothing either."""

CHANNELS: dict[str, int] = {
    "channel:invalid_key": Topic.MODEL,  # New API
    "channel:no_available_key": Topic.MODEL,
}
"""Codes of relays that have no key for the model that was asked for."""

PICTURES = (
    "invalidimage invalidimageformat invalidbaseimage invalidimageurl invalidimagemode imagetoolarge imagetoosmall"
    " imageparse imagefiletoolarge imagefilenotfound emptyimagefile unsupportedimagemediatype failedtodownloadimage"
)
"""Codes for a bad image in a request: OpenAI's Responses send them without a type or status."""
NAMES: dict[str, int] = {
    **dict.fromkeys(PICTURES.split(), 400),
    "invalidrequest": 400,
    "badrequest": 400,
    "invalidargument": 400,
    "failedprecondition": 400,
    "outofrange": 400,
    "validation": 400,
    "invalidparameter": 400,
    "invalidparams": 400,
    "authentication": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "paymentrequired": 402,
    "billing": 402,
    "permission": 403,
    "permissiondenied": 403,
    "forbidden": 403,
    "accessdenied": 403,
    "notfound": 404,
    "requesttimeout": 408,
    "conflict": 409,
    "requesttoolarge": 413,
    "unprocessableentity": 422,
    "toomanyrequests": 429,
    "resourceexhausted": 429,
    "ratelimit": 429,
    "ratelimitexceeded": 429,
    "throttling": 429,
    "api": 500,
    "server": 500,
    "internal": 500,
    "internalserver": 500,
    "internalservice": 500,
    "internalfailure": 500,
    "unknown": 500,
    "enginecore": 500,
    "badgateway": 502,
    "cfbadgateway": 502,
    "providerunavailable": 502,
    "upstream": 502,
    "unavailable": 503,
    "serviceunavailable": 503,
    "serveroverloaded": 503,
    "serverisoverloaded": 503,
    "slowdown": 503,
    "overloaded": 529,
    "engineoverloaded": 503,
    "timeout": 504,
    "vectorstoretimeout": 504,
    "gatewaytimeout": 504,
    "deadlineexceeded": 504,
}
"""Codes and types that name an HTTP error, reduced to lower-case letters without "error" and "exception"."""
ENDS = (("unavailable", 503), ("overloaded", 503), ("timeout", 504))
"""Ends of codes that name one, whatever is unavailable or was too slow."""
IMPLIED: tuple[tuple[int, int], ...] = (
    (Topic.CONTENT, 400),
    (Topic.QUOTA | Topic.RATE, 429),
    (Topic.CONTEXT | Topic.FOREIGN | Topic.LACKS, 400),
    (Topic.KEY | Topic.BARRED, 401),
    (Topic.MODEL, 404),
    (Topic.LOADING | Topic.DOWN, 503),
)
"""The HTTP error that a topic implies if no status is named."""

_NO_MEMBER = frozenset({"model", "none", "null", "key", "api_key", "authorization", "quota"})
"""Values of `param` that do not mean a member of the request with a text in it."""
_CODE = re.compile(r"[A-Za-z0-9_.:/ -]{1,64}")
_PLAIN = re.compile(r"[^a-z]+")
_SIGN = re.compile(r"[^\w\s]")
_AFFORD = re.compile(r"can(?: only| currently)? afford(?: up to| only)? (\d[\d,]*)", re.IGNORECASE)
_BOUND = r"\b(?:limit|maximum|max|allowance)(?: is| of| was)?\s{0,3}[:=]?\s{0,3}(\d[\d,]{0,18})\b"
_ASKED = r"\brequested(?: a| total| of| up| to| about)*\s{0,3}[:=]?\s{0,3}(\d[\d,]{0,18})\b"
_BOUND_FIRST = re.compile(_BOUND + ".{0,80}?" + _ASKED, re.IGNORECASE | re.DOTALL)
_ASKED_FIRST = re.compile(_ASKED + ".{0,80}?" + _BOUND, re.IGNORECASE | re.DOTALL)
_PACED = re.compile(r"(?:(\w+)\W+)?\bper (minute|second|min|sec)\b|\b[qrt]p[ms]\b", re.IGNORECASE)
"""A quota for so short a period that it is a rate."""
_LARGE = re.compile(r"(?:request|payload|body|entity|content)(?: is)? too (?:large|big)", re.IGNORECASE)
_RETIRED = re.compile(
    r"\W?(?=[a-z])(?=\S{0,80}[\d/:])\S{3,80} (?:was|is|has been) (?:retired|decommissioned|discontinued|deprecated)\b",
    re.IGNORECASE,
)
"""A model that is called by its name alone: "deepseek-v4:preview was retired"."""
_EMPTY = re.compile(
    r"(?:\W|\d|error|the|requested|resource|page|path|url|route|was|is|could|be|not|found|http|code|nginx|on|this|server"
    r"|see|for|more|details|docs)*",
    re.IGNORECASE,
)


class Verdict(msgspec.Struct, frozen=True):
    """What an error means."""

    kind: Kind
    hint: float | None = None
    of_target: bool = False
    grounds: tuple[tuple[str, ...], ...] = ()
    """The words on which it rests. If the request itself contains some of them, `otherwise` holds."""
    otherwise: Verdict | None = None


class Facts:
    """One error with its status, and what it is about."""

    __slots__ = (
        "_believed",
        "_headers",
        "_hint",
        "_now_wall",
        "_own",
        "_sentences",
        "by_code",
        "error",
        "paced",
        "status",
        "text",
        "topics",
    )

    def __init__(
        self,
        status: int,
        headers: Headers,
        error: Error,
        now_wall: float,
        believed: bool = True,
        paced: bool = True,
    ) -> None:
        """`believed`: the error's words count; if not, they are taken for the request's, and mark nothing. `paced`: a
        quota per minute or second is a rate."""
        self._believed = believed
        self.status = status
        self.error = error
        self.text = "\n".join(error.messages)
        self._own: str | None = None
        self._sentences: list[int] | None = None
        self._hint: float | None = None
        """0 if there is none; None if not computed yet."""
        self._headers = headers
        self._now_wall = now_wall
        coded = CODED if status >= 500 else CODED & ~Topic.DOWN
        if status not in (403, 404):
            coded &= ~Topic.LEFT
        if not believed:
            coded &= HARMLESS
        of_word = _of_word_of_a_failure if status >= 500 else _of_word
        by_code = _leading(map(of_word, error.codes), coded)
        self.topics = by_code or _leading(map(of_word, error.types), coded)
        self.by_code = bool(self.topics)
        vague = Topic.BARRED if by_code else Topic.BARRED | Topic.RATE
        if all(_plain(word) in ANY_REASON for word in (*error.codes, *error.types) if _of_word(word) & Topic.KEY):
            vague |= Topic.KEY
        if self.topics and not self.topics & ~vague:
            said = self._said(self._may_say())
            spent = said & (Topic.QUOTA | Topic.CONTENT) == Topic.QUOTA
            if spent or said == Topic.CONTEXT or (said == Topic.RATE and self.topics == Topic.BARRED):
                self.topics, self.by_code = said, False  # the sentence gives the reason, the code does not
        if self.topics == Topic.MODEL and self.by_code and self._said(self._may_say()) == Topic.LEFT:
            self.topics, self.by_code = Topic.LEFT, False  # the code repeats the status, the sentence names a file
        pace = _PACED.search(self.own_words) if paced and believed and self._coded_quota() else None
        self.paced = _runs(pace) if pace is not None else ()
        """Words that make a rate of what the code calls a quota: any of these runs."""
        self.topics = self.topics or self._said(self._may_say()) or _of_vendor(error, coded)
        if self.paced or self._of_minutes():
            self.topics = Topic.RATE

    def _of_minutes(self) -> bool:
        """Whether the quotas that are used up, by the names that Google gives them, are for a minute each."""
        names = self.error.quotas.lower().replace("_", "").split()
        return self.status == 429 and bool(names) and all("perminute" in name for name in names)

    def _coded_quota(self) -> bool:
        """Whether only a code says that it is a quota."""
        if self.status != 429 or not self.by_code or self.topics != Topic.QUOTA:
            return False
        return not any(said & Topic.QUOTA for said in self.sentences)

    @property
    def own_words(self) -> str:
        """Its messages without what they quote."""
        if self._own is None:
            self._own = own_words(self.text)
        return self._own

    @property
    def sentences(self) -> list[int]:
        """The topics of each sentence that has any."""
        if self._sentences is None:
            self._sentences = of_message(self.text)
        return self._sentences

    @property
    def named(self) -> bool:
        """Whether it is about one model."""
        return "permodel" in self.error.quotas.lower() or any(said & Topic.NAMED for said in self.sentences)

    @property
    def of_request(self) -> bool:
        """Whether it is about the form of the request: "parameter 'reasoning' is not allowed"."""
        own = Topic.KEY | Topic.BARRED
        return any(said & Topic.SCHEMA for said in self.sentences) and not any(said & own for said in self.sentences)

    @property
    def stated(self) -> float | None:
        """Seconds until the provider wants the retry, by its headers or a member of the error."""
        return hints.retry_after(self._headers, self.error.headers, self.error.waits, self._now_wall)

    @property
    def hint(self) -> float | None:
        """The same, or else by its words."""
        if self._hint is None:
            said = hints.in_prose(self.own_words, self._now_wall) if self._believed else None
            self._hint = self.stated or said or 0.0
        return self._hint or None

    def grounds(self) -> list[tuple[str, ...]]:
        """The words on which a mark would rest: those of a code or of a sentence, and those of a hint."""
        if self.by_code:
            words = [*self.error.codes, *self.error.types]
            found = [tuple(word.lower().split()) for word in words if _of_word(word) & self.topics]
        else:
            found = grounds(self.text, self.topics & ~HARMLESS)
        hint = hints.prose(self.own_words) if self._hint else None
        return found + ([tuple(hint.lower().split())] if hint else [])

    def _said(self, admitted: int) -> int:
        """The topics of the first sentence that is about anything that counts. A sentence about the request's schema
        ("property account has unknown type") marks nothing under a status that blames the request."""
        blamed = admitted & HARMLESS if self.status in (400, 409, 422) else admitted
        for topics in self.sentences:
            counts = topics & (blamed if topics & Topic.SCHEMA else admitted)
            if self.status >= 500 and topics & Topic.UNJUDGED:
                counts &= ~(Topic.CONTENT | Topic.QUOTA)
            if counts:
                return counts
        return Topic.NONE

    def _may_say(self) -> int:
        """The topics that a sentence of this error may have."""
        admitted = UNDER.get(self.status, FAILED if self.status >= 500 else REFUSED)
        if self.status == 401 and "context" in self.text.lower():  # "token" alone is a key there
            admitted |= Topic.CONTEXT
        if self.error.quoting or not self._believed:
            return admitted & HARMLESS
        if self.error.param and self.error.param.lower() not in _NO_MEMBER:
            return admitted & HARMLESS
        return admitted

    def about(self, topics: int) -> bool:
        """Whether it is about one of these."""
        return bool(self.topics & topics)

    def code(self, topics: int) -> bool:
        """The same, if a code or type says so."""
        return self.by_code and bool(self.topics & topics)


def _runs(pace: re.Match[str]) -> tuple[tuple[str, ...], ...]:
    """The words of "calls per min" as a request may write them; it may also have "calls / min"."""
    before, unit = (pace[1] or "").lower(), (pace[2] or "").lower()
    if not unit:
        return ((pace[0].lower(),),)
    return (("per", unit), (before, unit)) if before else (("per", unit),)


@lru_cache(maxsize=128)
def _of_word(word: str) -> int:
    """The topics of a code or type; none if it only names a status."""
    if not _CODE.fullmatch(word) or (_plain(word) in NAMES and _plain(word) not in NAMES_THAT_COUNT):
        return Topic.NONE
    return CHANNELS.get(word) or of_code(word)


ANY_REASON = frozenset({"auth", "authentication", "invalidauthentication", "unauthenticated", "unauthorized"})
"""Names that providers also give to refusals whose reason is not the key."""


def _of_word_of_a_failure(word: str) -> int:
    """The same under a 5xx: if a quota could not be looked up (`get_user_quota_failed`), none is known to be spent."""
    topics = _of_word(word)
    return topics & ~Topic.QUOTA if topics & Topic.UNJUDGED else topics


NAMES_THAT_COUNT = frozenset(
    {"authentication", "unauthenticated", "paymentrequired", "billing", "ratelimit", "ratelimitexceeded", "throttling"}
)


def _of_vendor(error: Error, admitted: int) -> int:
    return _leading((VENDORS.get(code, Topic.NONE) for code in (*error.codes, *error.types)), admitted)


def _plain(word: str) -> str:
    return _PLAIN.sub("", word.lower().replace("error", "").replace("exception", ""))


def _leading(found: Iterable[int], admitted: int) -> int:
    """The first of `found` that has admitted topics, cut down to these."""
    return next((topics & admitted for topics in found if topics & admitted), Topic.NONE)


def _too_large(facts: Facts) -> bool:
    if facts.status == 413:
        return not any("context" in code.lower() for code in facts.error.codes)
    if facts.status == 402:
        afford = _AFFORD.search(facts.own_words)
        return afford is not None and _number(afford[1]) > 0
    return facts.status == 429 and (_over(facts.own_words) or _LARGE.search(facts.own_words) is not None)


def _over(said: str) -> bool:
    """Whether more was requested than the limit allows at all."""
    found = _BOUND_FIRST.search(said)
    if found is not None:
        return _number(found[2]) > _number(found[1])
    found = _ASKED_FIRST.search(said)
    return found is not None and _number(found[1]) > _number(found[2])


def _number(digits: str) -> int:
    return int(digits.replace(",", ""))


def _soon(facts: Facts) -> bool:
    if facts.status not in (402, 429):
        return False
    hint = facts.hint
    return hint is not None and hint <= SHORT_S


def _missing(facts: Facts) -> bool:
    if facts.about(Topic.MODEL):
        return 400 <= facts.status < 500
    return facts.status in (404, 410) and (
        facts.named
        or _RETIRED.match(facts.text) is not None
        or _EMPTY.fullmatch(unframed(facts.text[:300])[:200]) is not None
    )


Row = tuple[Callable[[Facts], bool], Kind]
ROWS: tuple[Row, ...] = (
    (lambda facts: facts.status < 400, Kind.BAD_ANSWER),
    (lambda facts: facts.about(Topic.CONTENT), Kind.CONTENT_REFUSED),
    (_too_large, Kind.TOO_LARGE),
    (_soon, Kind.RATE_LIMITED),
    (lambda facts: facts.about(Topic.QUOTA), Kind.QUOTA),
    (lambda facts: facts.status == 402 and not facts.about(Topic.RATE), Kind.QUOTA),
    (lambda facts: facts.status == 429 or facts.about(Topic.RATE), Kind.RATE_LIMITED),
    (
        lambda facts: facts.status in (400, 401, 403, 404, 413, 422, 500, 502) and facts.about(Topic.CONTEXT),
        Kind.CONTEXT_LENGTH,
    ),
    (lambda facts: facts.status in (400, 403, 404) and facts.about(Topic.FOREIGN | Topic.LEFT), Kind.FOREIGN_STATE),
    (lambda facts: facts.about(Topic.LACKS), Kind.UNSUPPORTED),
    (lambda facts: facts.status < 500 and facts.code(Topic.KEY | Topic.BARRED), Kind.AUTH),
    (lambda facts: facts.status == 400 and facts.about(Topic.KEY | Topic.BARRED), Kind.AUTH),
    (lambda facts: facts.status == 401 and (facts.about(Topic.KEY) or not facts.about(Topic.MODEL)), Kind.AUTH),
    (_missing, Kind.MISSING),
    (lambda facts: facts.status == 403 and facts.of_request, Kind.UNSUPPORTED),
    (lambda facts: facts.status == 403, Kind.FORBIDDEN),
    (lambda facts: facts.status == 404, Kind.NOT_FOUND),
    (lambda facts: facts.about(Topic.LOADING), Kind.LOADING),
    (lambda facts: facts.status >= 500 and facts.about(Topic.DOWN | Topic.MODEL), Kind.LOADING),
    (lambda facts: facts.status == 424 and facts.error.param == "tools", Kind.CLIENT_ERROR),  # a server of its own
    (lambda facts: facts.status >= 500 or facts.status in (408, 424, 425, 498), Kind.SERVER_ERROR),
    (lambda facts: True, Kind.CLIENT_ERROR),
)


def judge(status: int, headers: Headers, error: Error, now_wall: float) -> Verdict:
    """What an error with this status means, and its hint."""
    now_wall = hints.wall_of(headers, now_wall)
    facts = Facts(status, headers, error, now_wall)
    verdict = _verdict(facts, headers, now_wall)
    if facts.paced:
        quota = _verdict(Facts(status, headers, error, now_wall, paced=False), headers, now_wall)
        return msgspec.structs.replace(verdict, grounds=facts.paced, otherwise=quota)
    if RULES[verdict.kind].effect is Effect.NONE or not (said := facts.grounds()):
        return verdict
    if status == 429 and not facts.about(Topic.QUOTA):  # the status is enough: only the hint may rest on words
        otherwise = Verdict(verdict.kind, _clamped(facts.stated))
    else:
        otherwise = _verdict(Facts(status, headers, error, now_wall, believed=False), headers, now_wall)
    if otherwise == verdict:
        return verdict
    return msgspec.structs.replace(verdict, grounds=tuple(said), otherwise=otherwise)


def _clamped(hint: float | None) -> float | None:
    return None if hint is None else min(hint, hints.HINT_MAX)


def _verdict(facts: Facts, headers: Headers, now_wall: float) -> Verdict:
    kind = next(kind for holds, kind in ROWS if holds(facts))
    hint = None
    if kind is Kind.SERVER_ERROR:
        hint = hints.retry_after_header(headers, now_wall)
    elif kind is Kind.RATE_LIMITED or kind is Kind.LOADING:
        hint = facts.hint
    return Verdict(
        kind,
        _clamped(hint),
        of_target=kind is Kind.QUOTA and (facts.error.relayed or facts.named),
    )


def named_status(error: Error) -> int | None:
    """The HTTP status that an error inside a 2xx names or implies; None if it does neither."""
    if error.status is not None:
        return error.status
    for words in (error.codes, error.types):  # codes first: a relay may give any failure the type `server_error`
        named = next((status for status in map(_named, map(_plain, words)) if status), None)
        named = named or _implied(_leading(map(of_code, words), CODED))
        if named is not None:
            return named
    said = _leading(of_message("\n".join(error.messages)), CODED) or _of_vendor(error, CODED)
    return _implied(said) or next((NAMES[name] for name in map(_lead, error.messages) if name in NAMES), None)


def _named(word: str) -> int | None:
    """The status of a code as `_plain` makes it: `upstream_unavailable` ends like `unavailable`."""
    return NAMES.get(word) or next((status for end, status in ENDS if word.endswith(end)), None)


def _lead(message: str) -> str:
    """The words before a message's first sign, as NAMES has them: "invalid params, tool result without a call"."""
    return _plain(_SIGN.split(message[:80], maxsplit=1)[0])


def _implied(topics: int) -> int | None:
    return next((status for about, status in IMPLIED if topics & about), None)
