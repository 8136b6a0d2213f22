"""The sentences of an error, as the rules of `topics` read them: each word as bits that say what it may be about.

What a sentence quotes or names is left out: it may be the request's. A code is read as a sentence of a few words.
"""

from __future__ import annotations

import re
from functools import cache

from oxllm.core.reading import lexicon as lex
from oxllm.core.reading.places import REPORTED

SENTENCES_MAX = 24
WORDS_MAX = 80
"""Words of a sentence that are read."""
ENTRY_MAX = 4
"""Words of the longest entry."""
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
PATH = re.compile(r"\b(?:messages|tools|contents?|input|parts)(?:\[\d+\]|\.\d+\b)")
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


def sentences(text: str) -> list[str]:
    """The sentences of a message that are read, without what they quote."""
    return _SENTENCE.split(unquoted(text))[:SENTENCES_MAX]


def marks_of_code(code: str) -> list[int]:
    """The bits of each word of a code or type."""
    return marks_of(_HUMP.sub(" ", code.replace("/", " ")).lower())


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
    bits = marks_of(_HUMP.sub(" ", match[0].replace("-", " ")).lower())
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
    return "\n".join(own_part(sentence) for sentence in _SENTENCE.split(own)[:SENTENCES_MAX])


def own_part(sentence: str) -> str:
    echo = _ECHO.search(sentence)
    if echo is None:
        return sentence
    return sentence[: echo.start() if echo["own"] is None else echo.end()]


def normalized(sentence: str) -> str:
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
    if not any(bits & _MARKING for bits in marks_of(words)) or _key_of(words) in _entries() or _STATE.search(name):
        return name
    return " ~ "


def _hyphened(match: re.Match[str]) -> str:
    """The same for a name with hyphens, which compounds of ordinary words have, too ("tokens-per-minute")."""
    name = match[0]
    if match["of"]:
        own = name[len(match["of"]) :].replace("_", " ").replace("-", " ").lower()
        tool = match["of"].lower().startswith(("tool", "function"))
        return name if not tool and any(bits & lex.KEY for bits in marks_of(own)) else match["of"] + "~"
    words = name.replace("-", " ").lower()
    if "-per-" in name or not any(bits & (_MARKING | lex.PACE) for bits in marks_of(words)):
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
def signs() -> list[tuple[str, int]]:
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


def marks_of(text: str) -> list[int]:
    """The bits of each word, fillers apart, of a sentence in lower case."""
    return parse(text)[2]


def parse(text: str) -> tuple[list[str], list[int], list[int], list[int]]:
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
        marks += [bits for _, bits in sorted((text.find(sign), bits) for sign, bits in signs() if sign in text)]
    return words, places, marks, ends
