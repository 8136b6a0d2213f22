"""What a code, a type or a sentence of an error is about.

A sentence is about a topic if a noun and a verb of that topic are close to each other: "your credit balance is too low"
has money and its end. A code is a sentence of a few words without spaces (`insufficient_quota`, `ModelNotOpen`), and is
read by the same rules. The first sentence of a message that is about anything that matters decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from oxllm.core.reading import lexicon as lex
from oxllm.core.reading.places import REPORTED


class Topic:
    """What an error is about: bits of a number."""

    NONE = 0
    CONTENT = 1
    QUOTA = 2
    RATE = 4
    CONTEXT = 8
    FOREIGN = 16
    LACKS = 32
    KEY = 64
    BARRED = 128
    """The account, its organization or its region is blocked."""
    MODEL = 256
    LOADING = 512
    DOWN = 1024
    """This model cannot run now."""
    NAMED = 2048
    """It is about one particular model."""
    SCHEMA = 4096
    """It is about how the request is composed."""
    UNJUDGED = 8192
    """Something failed or is busy: if that is a filter or the billing, no text or balance was judged."""
    LEFT = 16384
    """Something that the request names is not at this provider: a conversation, a file."""


HARMLESS = Topic.CONTENT | Topic.CONTEXT | Topic.LACKS | Topic.FOREIGN | Topic.LEFT
"""Topics that mark nothing, so they may be read from words that could be the request's."""

SENTENCES_MAX = 24
WORDS_MAX = 80
"""Words of a sentence that are read."""
ENTRY_MAX = 4
"""Words of the longest entry."""
OWN_GAP = 3
"""Words between a part of the request and a verb about it: "tool x is not allowed"."""
PLACE_GAP = 6
"""Words between a model and what is said of it, if they only name it and its place."""

_FILLERS = frozenset(lex.FILLERS.split())
_SENTENCE = re.compile(r"(?<=[.!?])\s+|[;\n\u3002\uff1b\uff01\uff0c]+\s*")
_WORD = re.compile(r"[a-z\u00df-\u00f6\u00f8-\u017e]+|\d+(?:[.,]\d+)*|[<>]=?|~")
_NAME = re.compile(r"(?<![\w/.@:-])(models?/)?(?=[\w/.@:-]*[a-z])(?=[\w/.@:-]*[0-9/])[\w@][\w/.@:-]*\w", re.ASCII)
"""A name with a digit or a slash in it, such as a model's: it counts as one word."""
_PACE_IN_NAME = re.compile(r"_per_(minute|second)(?![a-z])")
_SPAN = re.compile(r"\d+-(minute|hour|day|week|month)s?", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d+[km]", re.IGNORECASE)
"""So many tokens: "128k"."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OBJECT = re.compile(r"<[\w.]{1,80} object at 0x[0-9a-f]{1,16}>")
"""A Python object's default repr."""
_URL = re.compile(r"\S+://\S+|\bwww\.\S+|(?<!\S)/[A-Za-z][\w.-]*(?:/[\w.-]+)*")
_FETCHED = re.compile(
    r"(?:fail\w*|unable|error|not)\s+(?:(?:to|while|when)\s+)?(?:fetch|download|retriev|load|access|open)\w*[^.\n]{0,40}?\s\S+://\S+"
    r"|\b(?:image|audio|video|media|file)(?:[ _]?url)?\s+['\"(]?\w+://\S+",
    re.IGNORECASE,
)
"""A URL that the request names and that could not be fetched: `outsideserver` in the lexicon."""
_LEFT = re.compile(r"\b(?:resp|file|vs|conv|thread|asst|cntr|msg|rs|skill|batch)[-_](?=\w*\d)[A-Za-z0-9]{3,}\b")
"""The name that an API gave to something it keeps, `resp_68af` or `file-3xQ9`: `leftobject` in the lexicon."""
_ACTION = re.compile(r"(?<![\w:-])[a-z][a-z-]{1,40}:[A-Z][A-Za-z]{1,40}\b")
"""An action of an AWS policy: `aws-marketplace:ViewSubscriptions`."""
_PATH = re.compile(r"\b(?:messages|tools|contents?|input|parts)(?:\[\d+\]|\.\d+\b)")
"""A place in the request where something is wrong: the sentence is about the request."""
_FRAME = re.compile(
    r"\A\s*(?:(?:upstream|server|api|provider|client|internal|http|request) )?(?:error|exception)\s*:\s"
    r"|\A\s*error, status code: \d{3},(?: status: [\w ]{1,40},)? message: "
    r"|\A\[GoogleGenerativeAI Error\]: Error fetching from \S{1,300}: (?:\[\d{3} [\w ]{1,40}\] )?"
    r"|[(\[]\s*(?:x-)?(?:request|trace|correlation|log)[ _-]?id\s*[:=][^)\]]{0,120}[)\]]",
    re.IGNORECASE,
)
"""Boilerplate at a message's start and end: "Error: …", "… (request id: 2026…)", and what go-openai and Google's
first SDK begin with."""
_FLAG = re.compile(r"(?<![\w-])--(?=[a-z])")
"""A command-line flag that the server lacks ("set --enable-auto-tool-choice"): `flagswitch` in the lexicon."""
_ASIDE = re.compile(r"\(e\.g\.[^)]{0,100}\)", re.IGNORECASE)
_PER = re.compile(r"\s?/\s?(?=(?:min(?:ute)?|sec(?:ond)?|hour|day|week|month)s?\b)", re.IGNORECASE)
"""As in "20 calls / minute"."""
_BEING = re.compile(r"\bbeing (?:loaded|deployed|started|provisioned)\b", re.IGNORECASE)
_SPANS = re.compile(r"(?<=ly)/(?=(?:hourly|daily|weekly|monthly|yearly)\b)", re.IGNORECASE)
"""As in "weekly/monthly limit"."""
_NOT = re.compile(r"n['\u2019]t\b|(?<=can)not\b", re.IGNORECASE)
_QUOTED = re.compile(
    r"`[^`]*`?|\"(?:[^\"\\]++|\\.)*+\"?|(?<![A-Za-z0-9])'[^']*(?:'(?=[A-Za-z0-9])[^']*)*'?"
    r"|\u201c[^\u201d]*\u201d?|\u2018[^\u2019]*\u2019?|\u300c[^\u300d]*\u300d?|\u300e[^\u300f]*\u300f?|\u00ab[^\u00bb]*\u00bb?"
)
_MEMBER = re.compile(r"[A-Za-z_]{2,40}")
_HARMLESS_WORDS = lex.FEATURE | lex.LEFT | lex.STORED | lex.ITEM | lex.ROLE | lex.TOKENS | lex.PROMPT
_BRITISH = re.compile(r"(?<=[a-z]{4})is(?=(?:e[ds]?|ing|ation)$)")
"""As in "recognise": the lexicon has it with a z."""
_HYPHENED = re.compile(
    r"(?<![\w/.@:-])(models?/)?(?=[\w/.@:-]*[a-z])(?=[\w/.@:-]*\d)(?=[\w/.@:]*-)[\w@][\w/.@:-]*\w", re.ASCII
)
"""The same with hyphens, before names are split at capitals: `Big-7B-chat`."""
_IDENTIFIER = re.compile(
    r"(?<![\w/])(?:\w{1,40}\.){0,4}[A-Za-z][A-Za-z0-9]*(?:_+[A-Za-z0-9]+)+(?:\.\w{1,40}){0,4}(?!\w)"
    r"|(?<!\w)[a-z]+(?:[A-Z][a-z0-9]+)+(?!\w)",
    re.ASCII,
)
"""A program's identifier: `check_quota`, `stripe.send_payment`, `sendPayment`."""
_KEBAB = re.compile(
    r"(?<![\w/@-])(?:(?P<of>(?i:tools?|functions?|file|attachment|skill|prompt|template|variable|column|key|role|property"
    r"|field|parameter|argument)(?i: call| named?| names| variable| value)?:? )[A-Za-z]+(?:[-_.][A-Za-z]+)+"
    r"|[A-Za-z]+(?:-[A-Za-z]+){2,})(?![\w-])",
    re.ASCII,
)
"""A tool's name with hyphens: three words or more (`check-credit-balance`), or any name after its noun ("tool x-y")."""
_FILE = re.compile(
    r"(?<![\w/.-])[\w-]+\.(?:csv|docx?|gif|html?|jpe?g|jsonl?|md|mp[34]|pdf|png|pptx?|py|svg|txt|wav|webp|xlsx?|xml|ya?ml|zip)\b",
    re.IGNORECASE | re.ASCII,
)
_STATE = re.compile(
    r"(?:\A|[-_])(?:insufficient|invalid|missing|no|not|out|exceeds?|over|incorrect|unsupported)[-_]"
    r"|(?:ed|error|exception|failure|low|overdue|inactive|insufficient)\Z",
    re.IGNORECASE,
)
"""Marks of a code, which states what is wrong; a tool's name says what to do."""
_PLAIN = lex.NOT | lex.NUMBER
_MARKING = lex.MONEY | lex.BUDGET | lex.QUOTA | lex.OWING | lex.KEY | lex.ACCOUNT | lex.REGION
_SLASHED = re.compile(r"[a-z]+(?:/[a-z]+)+")
"""Words rather than a name: "JSON mode/function calling"."""
_ECHO = re.compile(
    r"\b(?P<own>not (?:be |been )?found\s*[:=])(?!\s*(?:the )?(?:requested )?(?:model|deployment)\b)"
    r"|(?<!\d\d\d - request )(?<!not )(?<!not be )\b"
    r"(?:got|received|given|found|saw|actual|input_value|input|values?|content|text|prompt|messages?|body|payload)\s*[:=]\s*"
    r"|\n\s*(?:received model group|available model group)",
    re.IGNORECASE,
)
"""From here on a sentence quotes the request, or names what in it was not found. Except where SAP names the place of a
fault: "400 - Request Body: Model x not supported"."""


def of_code(code: str) -> int:
    """The topics of a code or type."""
    spaced = _HUMP.sub(" ", code.replace("/", " "))
    return _topics(_marks(spaced.lower()), code=True)


def of_message(text: str) -> list[int]:
    """The topics of each sentence that has any, in order. Quotes are not read, and words that may be quoted are read
    only for topics that mark nothing."""
    found = []
    outside = False  # whether a place that the request names may be speaking
    for sentence in _SENTENCE.split(unquoted(text))[:SENTENCES_MAX]:
        marks = _marks(_spaced(sentence))
        topics = _topics(marks, code=False)
        outside = outside or any(bits & lex.OUTSIDE for bits in marks)
        if outside:
            topics &= HARMLESS
        if topics & ~HARMLESS and (own := _own(sentence)) != sentence:
            topics = topics & HARMLESS | _topics(_marks(_spaced(own)), code=False)
        if topics & ~HARMLESS and _PATH.search(sentence):
            topics |= Topic.SCHEMA
        if topics:
            found.append(topics)
    return found


def unframed(text: str) -> str:
    """A message without its boilerplate at both ends and without URLs."""
    return _URL.sub(" ", _FRAME.sub(" ", text))


def unquoted(text: str) -> str:
    """A message without what may be the request's words: a text in quotes becomes `~`, which means nothing."""
    text = _NOT.sub(" not", _FRAME.sub(" ", text))
    text = REPORTED.sub(" outsideserver ", text)
    if "://" in text:
        text = _FETCHED.sub(" outsideserver ", text)
    text = _LEFT.sub("leftobject", text)
    text = _ACTION.sub(_allowed, _OBJECT.sub(" ", _URL.sub(" ", text)))
    text = _BEING.sub("loading", _FILE.sub(" ~ ", text))
    text = _SPANS.sub(" ", _PER.sub(" per ", text))
    text = _FLAG.sub(" flagswitch ", _ASIDE.sub(" ", text))
    return _QUOTED.sub(_quoted, text)


def _allowed(match: re.Match[str]) -> str:
    """The words of an action may be about a model, but not about money or keys."""
    bits = _marks(_HUMP.sub(" ", match[0].replace("-", " ")).lower())
    return " ~ " if any(of & _MARKING for of in bits) else match[0]


def _quoted(match: re.Match[str]) -> str:
    """A quoted noun of the request, `thinking` or 'tools', is read, since it cannot lead to a mark."""
    word = match[0][1:-1]
    if not _MEMBER.fullmatch(word):
        return " ~ "
    key = _key_of(word.lower())
    return f" {word} " if _harmless(key) or all(map(_harmless, key.split(" "))) else " ~ "


def _harmless(key: str) -> bool:
    """Whether it is an entry whose words mark nothing."""
    bits = _entries().get(key, 0)
    return bits != 0 and not bits & ~_HARMLESS_WORDS


def own_words(text: str) -> str:
    """A message's sentences, one per line, without what they quote or report."""
    own = unquoted(text).partition("outsideserver")[0]
    return "\n".join(_own(sentence) for sentence in _SENTENCE.split(own)[:SENTENCES_MAX])


def _own(sentence: str) -> str:
    echo = _ECHO.search(sentence)
    if echo is None:
        return sentence
    return sentence[: echo.start() if echo["own"] is None else echo.end()]


def _spaced(sentence: str) -> str:
    """A sentence in lower case, with compound words split and names kept together."""
    if "-" in sentence or "_" in sentence or "." in sentence:
        sentence = _KEBAB.sub(_hyphened, sentence)
    return _HUMP.sub(" ", _IDENTIFIER.sub(_identified, _HYPHENED.sub(_named_word, sentence))).lower()


def stem(word: str) -> str:
    """A word without its ending: the same for all forms of a verb or noun that matter here."""
    word = _BRITISH.sub("iz", word)
    for ending in ("ing", "ies", "ied", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: -len(ending)]
            break
    return word[:-1] if word[-1:] in ("e", "y") and len(word) > 3 else word


def _identified(match: re.Match[str]) -> str:
    """The name of a tool or member says nothing about money or keys ("function check_quota not found"). A code in a
    sentence (`insufficient_quota`) is read, and so is the name of a noun (`api_key`)."""
    name = match[0]
    words = _HUMP.sub(" ", name.replace("_", " ")).lower()
    if not any(bits & _MARKING for bits in _marks(words)) or _key_of(words) in _entries() or _STATE.search(name):
        return name
    return " ~ "


def _hyphened(match: re.Match[str]) -> str:
    """The same for a name with hyphens, which compounds of ordinary words have, too ("tokens-per-minute")."""
    name = match[0]
    if match["of"]:
        own = name[len(match["of"]) :].replace("_", " ").replace("-", " ").lower()
        tool = match["of"].lower().startswith(("tool", "function"))
        return name if not tool and any(bits & lex.KEY for bits in _marks(own)) else match["of"] + "~"
    words = name.replace("-", " ").lower()
    if "-per-" in name or not any(bits & (_MARKING | lex.PACE) for bits in _marks(words)):
        return name
    return name if _key_of(words) in _entries() or _STATE.search(name) else " ~ "


_LETTERS = str.maketrans({"\u00df": "ss", "\u00e6": "ae", "\u00f8": "o", "\u0111": "d", "\u0131": "i", "\u0142": "l"})
"""Letters that Unicode does not decompose into a base letter and an accent."""

KEPT = frozenset(
    "blocked limited loading starting used supported allowed models deployments endpoints".split()  # noqa: SIM905
)
"""Words that mean something else than their stem: a content block is not blocked, a high load is not loading, models
are not one model."""


def _words(text: str) -> list[str]:
    return _WORD.findall(_NAME.sub(_named_word, text))[:WORDS_MAX]


def _named_word(match: re.Match[str]) -> str:
    """A name says nothing, except one of a rate (`…/requests_per_minute_per_base_model`). A span of time is not a name
    ("5-hour limit"), nor is a number of tokens ("128k")."""
    name = match[0]
    if span := _SPAN.fullmatch(name):
        return f" {span[1]} "
    if _THOUSANDS.fullmatch(name):
        return f" {name[:-1]} "
    if pace := _PACE_IN_NAME.search(name):
        return f" ~ per {pace[1]} "
    if _SLASHED.fullmatch(name):
        return " ".join(word if _entries().get(stem(word), 0) & lex.FEATURE else " ~ " for word in name.split("/"))
    return "model ~" if name.startswith(("model/", "models/")) else " ~ "


def _normal(word: str) -> str:
    if word[0] in "<>":
        return "gt" if word[0] == ">" else "lt"
    if word == "~" or word in KEPT:
        return word
    if word[0].isdigit():
        return "0" if word == "0" else "#"
    return stem(word) if word.isascii() else stem(_plain(word))


def _plain(word: str) -> str:
    """A word without its accents."""
    from unicodedata import combining, normalize  # noqa: PLC0415 - a megabyte, for errors in some languages only

    bare = "".join(sign for sign in normalize("NFKD", word) if not combining(sign))
    return bare.translate(_LETTERS)


def _key_of(words: str) -> str:
    """The key of an entry, or of a name of a few words, in `_entries`."""
    return " ".join(_normal(word) for word in _words(words.replace("_", " ")) if word not in _FILLERS)


@cache
def _entries() -> dict[str, int]:
    """Key of an entry -> its bits. Built at the first error: 0.2 MB that a gateway without errors never needs."""
    found: dict[str, int] = {"#": lex.NUMBER}
    for bit, entries in lex.ENTRIES:
        for entry in entries.split(","):
            key = _key_of(entry)
            found[key] = found.get(key, 0) | bit
    return found


@cache
def _signs() -> list[tuple[str, int]]:
    """Each sign, and its bits."""
    found: dict[str, int] = {}
    for bits, signs in lex.SIGNS:
        for sign in " ".join(signs.split()).split(", "):
            found[sign] = found.get(sign, 0) | bits
    return list(found.items())


@cache
def _starts() -> frozenset[str]:
    """First words of the entries with more than one word."""
    return frozenset(key.partition(" ")[0] for key in _entries() if " " in key)


def _marks(text: str) -> list[int]:
    """The bits of each word, fillers apart, of a sentence in lower case."""
    return _parse(text)[2]


def _parse(text: str) -> tuple[list[str], list[int], list[int], list[int]]:
    """All words of a sentence; and for each that is not a filler: its index among them, its bits, and the index after
    the entry that starts with it. The longest entry counts, at its first word."""
    words = _words(text)
    places = [at for at, word in enumerate(words) if word not in _FILLERS]
    stems = [_normal(words[place]) for place in places]
    marks = [0] * len(stems)
    ends = [place + 1 for place in places]
    entries, starts = _entries(), _starts()
    at = 0
    while at < len(stems):
        longest = min(ENTRY_MAX, len(stems) - at) if stems[at] in starts else 1
        for length in range(longest, 0, -1):
            bits = entries.get(" ".join(stems[at : at + length]) if length > 1 else stems[at], 0)
            if bits:
                marks[at] = bits
                ends[at] = ends[at + length - 1]
                at += length - 1
                break
        at += 1
    if not text.isascii():
        marks += [bits for _, bits in sorted((text.find(sign), bits) for sign, bits in _signs() if sign in text)]
    return words, places, marks, ends


def _near(marks: list[int], every: int, one: int, other: int, gap: int) -> bool:
    """Whether a word of one kind and a word of the other are at most `gap` words apart."""
    if not (every & one and every & other):
        return False
    last_one = last_other = -1000
    for at, bits in enumerate(marks):
        if bits & one and bits & other:
            return True
        if bits & one and at - last_other <= gap:
            return True
        if bits & other and at - last_one <= gap:
            return True
        if bits & one:
            last_one = at
        if bits & other:
            last_other = at
    return False


def _beside(marks: list[int], one: int, other: int, gap: int, own: int = 0) -> bool:
    """Whether words of both kinds are near each other, with no part of a request between: "the model's tool was not
    found" is about the tool. `own`: for so many words after such a part a verb is about it alone ("tool x is not
    allowed on this model")."""
    at_one = at_other = at_feature = -1000
    for at, bits in enumerate(marks):
        if bits & one and (bits & other or at - at_other <= gap):
            return True
        if bits & other and at - at_one <= gap:
            return True
        if bits & (lex.FEATURE | lex.PROMPT) and not bits & (one | other):
            at_one = at_other = -1000
            at_feature = at
        at_one = at if bits & one else at_one
        at_other = at if bits & other and at - at_feature > own else at_other
    return False


def _then(marks: list[int], every: int, one: int, other: int, gap: int) -> bool:
    """Whether a word of the other kind comes at most `gap` words after one of the first kind."""
    if not (every & one and every & other):
        return False
    return any(bits & one and any(after & other for after in marks[at : at + gap + 1]) for at, bits in enumerate(marks))


def _between(marks: list[int], one: int, middle: int, other: int, before: int, behind: int) -> bool:
    """Whether a word comes at most `before` words after one kind and at most `behind` words before another."""
    return any(
        bits & middle
        and any(first & one for first in marks[max(at - before, 0) : at])
        and any(last & other for last in marks[at + 1 : at + 1 + behind])
        for at, bits in enumerate(marks)
    )


def _topics(marks: list[int], code: bool) -> int:
    every = 0
    for bits in marks:
        every |= bits
    if not every:
        return Topic.NONE
    topics = Topic.NONE
    for topic, holds in RULES:
        if holds(marks, every, code):
            topics |= topic
    return topics


Rule = Callable[[list[int], int, bool], bool]


def _content(marks: list[int], every: int, code: bool) -> bool:
    of_text = bool(every & lex.PROMPT)
    if every & (lex.ACCOUNT | lex.ADDRESS | lex.ENDED) and not of_text:
        return False
    if any(bits & lex.MODEL and bits & lex.ABSENT for bits in marks):
        return False
    if _near(marks, every, lex.POLICY, lex.FLAGGED, 8) or _near(marks, every, lex.PROMPT, lex.CENSORED, 6):
        return True
    if every & (lex.PACE | lex.MONEY | lex.QUOTA | lex.OWING | lex.KEY) and not of_text:
        return False
    if every & lex.MODERATED:
        return True
    return (of_text or bool(every & lex.OFFENDS)) and _near(marks, every, lex.LAW, lex.FLAGGED, 8)


def _unjudged(marks: list[int], every: int, code: bool) -> bool:
    judged = lex.CENSORED | lex.OFFENDS | lex.OWING | lex.SPENT
    return bool(every & (lex.BUSY | lex.BROKEN)) and not every & judged


def _quota(marks: list[int], every: int, code: bool) -> bool:
    if every & (lex.PACE | lex.OUTSIDE):
        return False
    return (
        bool(every & lex.OWING)
        or _near(marks, every, lex.MONEY | lex.QUOTA, lex.GONE, 8)
        or (every & lex.PERIOD and _used_up(marks))
        or (not every & lex.FEATURE and _then(marks, every, lex.NOT, lex.MONEY | lex.QUOTA, 2))
        or (not every & lex.FEATURE and _near(marks, every, lex.BUDGET, lex.SPENT, 8))
        or (_near(marks, every, lex.MONEY, lex.NEEDED, 6) and not _then(marks, every, lex.FEATURE, lex.NEEDED, 2))
    )


def _used_up(marks: list[int]) -> bool:
    """Whether what may be used in a day or longer is used up: "reached the limit of requests for today"."""
    return any(
        bits & lex.PERIOD
        and any(of & lex.USAGE for of in marks[max(at - 4, 0) : at + 5])
        and any(of & lex.GONE and not of & lex.USAGE for of in marks[max(at - 8, 0) : at + 9])
        for at, bits in enumerate(marks)
    )


def _rate(marks: list[int], every: int, code: bool) -> bool:
    return bool(every & lex.PACE) and not every & lex.OUTSIDE and not _near(marks, every, lex.FEATURE, lex.LACKING, 4)


def _context(marks: list[int], every: int, code: bool) -> bool:
    if every & lex.PACE or (every & lex.OWN and not every & lex.CONTEXT):
        return False
    return (
        _near(marks, every, lex.CONTEXT, lex.EXCEEDS | lex.LONG | lex.MOST, 10)
        or _near(marks, every, lex.TOKENS, lex.EXCEEDS | lex.LONG, 8)
        or _near(marks, every, lex.PROMPT, lex.LONG, 6)
        or (bool(every & lex.PROMPT) and _then(marks, every, lex.TOKENS, lex.MOST, 5))
        or (code and _near(marks, every, lex.PROMPT, lex.EXCEEDS, 1))
        or _compared(marks, every)
    )


def _compared(marks: list[int], every: int) -> bool:
    """Whether a length is compared with that of the context: "8192 tokens of context, but the request needs 15246"."""
    if not (every & lex.CONTEXT and every & (lex.TOKENS | lex.PROMPT)):
        return False
    return sum(1 for bits in marks if bits & lex.NUMBER) > 1


def _foreign(marks: list[int], every: int, code: bool) -> bool:
    if code and every & lex.KEY:
        return False
    stored = lex.STORED if every & lex.SCHEMA else lex.STORED | lex.ITEM
    return _near(marks, every, stored, lex.LOST, 8) or _then(marks, every, lex.NO, stored, 1)


def _left(marks: list[int], every: int, code: bool) -> bool:
    return not every & lex.MODEL and (
        bool(every & lex.OUTSIDE)
        or _near(marks, every, lex.LEFT, lex.STRONG, 6)
        or _then(marks, every, lex.NO, lex.LEFT, 1)
    )


def _lacks(marks: list[int], every: int, code: bool) -> bool:
    if every & lex.BOTCHED:
        return True
    if every & lex.REGION and not every & lex.FOR_MODEL:
        return False
    if every & lex.MONEY and _then(
        marks, every, lex.FEATURE, lex.NEEDED, 2
    ):  # a feature that costs more, here or elsewhere
        return True
    if not code and every & lex.FEATURE and _near(marks, every, lex.ABSENT, lex.FOR_MODEL, 5):
        return True
    if _near(marks, every, lex.TEMPLATE, lex.BAD | lex.STRONG, 5):
        return True
    if every & lex.FEATURE and _then(marks, every, lex.ONLY, lex.TAKEN, 8):
        return True
    if _near(marks, every, lex.MODEL, lex.STRONG, 4):
        return False
    if _cannot(marks, every):
        return True
    if (
        code
        and not every & (lex.MODEL | lex.REGION | lex.BUSY)
        and any(b & lex.LACKING and not b & lex.BAD for b in marks)
    ):
        return True
    if _near(marks, every, lex.MODEL, lex.ACTIVE, 6) or _then(marks, every, lex.VARIANT, lex.FEATURE | lex.ROLE, 2):
        return True
    return _near(marks, every, lex.FEATURE, lex.LACKING, 8) or _near(marks, every, lex.LACKING, lex.FOR_MODEL, 5)


def _cannot(marks: list[int], every: int) -> bool:
    """Whether one model does not do something, in words that are no entry: "this model takes no images", "the function
    is not something that the model can do". Or cannot do without: "this model requires reasoning"."""
    if not (every & lex.FEATURE and every & lex.ONE_MODEL):
        return False
    return (
        _between(marks, lex.ONE_MODEL, lex.NOT, lex.FEATURE, 3, 3)
        or _between(marks, lex.FEATURE, lex.NOT, lex.ONE_MODEL, 2, 3)
        or _between(marks, lex.ONE_MODEL, lex.NEEDED, lex.FEATURE, 1, 1)
        or _between(marks, lex.NOT, lex.FEATURE, lex.FOR_MODEL, 2, 1)
    )


def _key(marks: list[int], every: int, code: bool) -> bool:
    if code and _near(marks, every, lex.MODEL, lex.ABSENT, 3):
        return False
    if every & lex.FEATURE and not code:  # the key of a tool's server, or of a file
        return False
    if _near(marks, every, lex.KEY, lex.BAD, 6) or _then(marks, every, lex.NO, lex.KEY, 1):
        return True
    if not every & lex.CONTEXT and _near(marks, every, lex.HELD, lex.REVOKED, 3):
        return True
    return code and bool(every & lex.KEY)


def _barred(marks: list[int], every: int, code: bool) -> bool:
    if _near(marks, every, lex.ONE_MODEL, lex.ABSENT, 6) or (code and _near(marks, every, lex.ONE_MODEL, lex.WEAK, 3)):
        return False
    if _not_there(marks, every) or (not code and _unsupported(marks)):
        return False
    return _near(marks, every, lex.REGION | lex.ACCOUNT, lex.BARRED, 6) or _near(marks, every, lex.ACCOUNT, lex.SHUT, 2)


def _model(marks: list[int], every: int, code: bool) -> bool:
    if code:
        return _near(marks, every, lex.MODEL, lex.ABSENT, 6) or _near(marks, every, lex.MODEL, lex.WEAK, 3)
    if every & lex.FOR_MODEL and every & (lex.FEATURE | lex.PROMPT):  # the model is there, and lacks something else
        return False
    return (
        _beside(marks, lex.MODEL, lex.ABSENT, 6, OWN_GAP)
        or _beside(marks, lex.MODEL, lex.WEAK, 3)
        or _unsupported(marks)
        or _not_there(marks, every)
        or _bare(marks, every)
        or _between(marks, lex.NOT, lex.ONE_MODEL, lex.SERVED, 1, 2)
        or (not every & lex.GIVEN and _then(marks, every, lex.NO, lex.ONE_MODEL, 1))
    )


def _unsupported(marks: list[int]) -> bool:
    """Whether one model is what is not supported, with nothing but its name and place between: "model x in version
    latest not supported"."""
    for at, bits in enumerate(marks):
        if bits & lex.ONE_MODEL:
            said = next((after for after in marks[at + 1 : at + 1 + PLACE_GAP] if after & ~_PLAIN), 0)
            if said & lex.WEAK and said & lex.LACKING:
                return True
    return False


def _not_there(marks: list[int], every: int) -> bool:
    """Whether one model is what a region lacks, and not the account that lacks the region."""
    if not (every & lex.ONE_MODEL and every & lex.REGION) or every & lex.ACCOUNT:
        return False
    return any(bits & lex.WEAK and bits & lex.LACKING for bits in marks)


def _bare(marks: list[int], every: int) -> bool:
    """Whether the model lacks something that it cannot run without: a router, a price, a backend."""
    if every & (lex.FEATURE | lex.PROMPT):
        return False
    return _then(marks, every, lex.NO, lex.FOR_MODEL, 4) or _then(marks, every, lex.MODEL, lex.NO, 1)


def _loading(marks: list[int], every: int, code: bool) -> bool:
    return _near(marks, every, lex.MODEL, lex.LOADING, 6)


def _down(marks: list[int], every: int, code: bool) -> bool:
    return _near(marks, every, lex.MODEL, lex.BUSY | lex.BROKEN | lex.LOADING | lex.ABSENT, 8) or _bare(marks, every)


def _schema(marks: list[int], every: int, code: bool) -> bool:
    return bool(every & lex.SCHEMA) and not code


def _named(marks: list[int], every: int, code: bool) -> bool:
    return bool(every & lex.ONE_MODEL)


RULES: Iterable[tuple[int, Rule]] = (
    (Topic.CONTENT, _content),
    (Topic.UNJUDGED, _unjudged),
    (Topic.QUOTA, _quota),
    (Topic.RATE, _rate),
    (Topic.CONTEXT, _context),
    (Topic.FOREIGN, _foreign),
    (Topic.LEFT, _left),
    (Topic.LACKS, _lacks),
    (Topic.KEY, _key),
    (Topic.BARRED, _barred),
    (Topic.MODEL, _model),
    (Topic.LOADING, _loading),
    (Topic.DOWN, _down),
    (Topic.NAMED, _named),
    (Topic.SCHEMA, _schema),
)


GROUNDS: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {
    Topic.QUOTA: (
        lex.OWING,
        ((lex.MONEY | lex.QUOTA, lex.GONE), (lex.MONEY, lex.NEEDED), (lex.BUDGET, lex.SPENT)),
    ),
    Topic.RATE: (lex.PACE, ()),
    Topic.KEY: (0, ((lex.KEY, lex.BAD), (lex.NO, lex.KEY))),
    Topic.BARRED: (0, ((lex.REGION | lex.ACCOUNT, lex.BARRED | lex.SHUT),)),
    Topic.MODEL: (0, ((lex.MODEL, lex.ABSENT), (lex.MODEL, lex.WEAK), (lex.NO, lex.MODEL | lex.FOR_MODEL))),
    Topic.LOADING: (0, ((lex.MODEL, lex.LOADING),)),
    Topic.DOWN: (
        0,
        ((lex.MODEL, lex.BUSY | lex.BROKEN | lex.LOADING | lex.ABSENT), (lex.NO, lex.MODEL | lex.FOR_MODEL)),
    ),
}
"""For each topic that leads to a mark: the entries that suffice alone, and the pairs of noun and verb."""


def grounds(text: str, topics: int) -> list[tuple[str, ...]]:
    """The words that make a message about `topics`: from each noun to the nearest verb on either side."""
    for sentence in _SENTENCE.split(unquoted(text))[:SENTENCES_MAX]:
        own = _spaced(_own(sentence))
        words, places, marks, ends = _parse(own)
        if not _topics(marks, code=False) & topics:
            continue
        found: list[tuple[str, ...]] = []
        masks = 0
        for topic, (alone, pairs) in GROUNDS.items():
            if topics & topic:
                masks |= alone
                found += _spans(words, places, marks[: len(places)], ends, alone, pairs)
                for one, other in pairs:
                    masks |= one | other
        return found + [(sign,) for sign, bits in _signs() if bits & masks and sign in own]
    return []


def _spans(
    words: list[str],
    places: list[int],
    marks: list[int],
    ends: list[int],
    alone: int,
    pairs: tuple[tuple[int, int], ...],
) -> list[tuple[str, ...]]:
    found = [tuple(words[places[at] : ends[at]]) for at, bits in enumerate(marks) if bits & alone]
    for one, other in pairs:
        verbs = [at for at, bits in enumerate(marks) if bits & other]
        for at, bits in enumerate(marks):
            if bits & one:
                before, behind = [verb for verb in verbs if verb <= at], [verb for verb in verbs if verb > at]
                found += [tuple(words[places[verb] : ends[at]]) for verb in before[-1:]]
                found += [tuple(words[places[at] : ends[verb]]) for verb in behind[:1]]
    return found
