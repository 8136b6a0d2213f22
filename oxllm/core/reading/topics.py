"""What a code, a type or a sentence of an error is about.

A sentence is about a topic if a noun and a verb of that topic are close to each other: "your credit balance is too low"
has money and its end. A code is a sentence of a few words without spaces (`insufficient_quota`, `ModelNotOpen`), and is
read by the same rules. The first sentence of a message that is about anything that matters decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from oxllm.core.reading import lexicon as lex
from oxllm.core.reading.sentences import PATH, marks_of, marks_of_code, normalized, own_part, parse, sentences, signs


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

OWN_GAP = 3
"""Words between a part of the request and a verb about it: "tool x is not allowed"."""
PLACE_GAP = 6
"""Words between a model and what is said of it, if they only name it and its place."""

_PLAIN = lex.NOT | lex.NUMBER


def of_code(code: str) -> int:
    """The topics of a code or type."""
    return _topics(marks_of_code(code), code=True)


def of_message(text: str) -> list[int]:
    """The topics of each sentence that has any, in order. Quotes are not read, and words that may be quoted are read
    only for topics that mark nothing."""
    found = []
    outside = False  # whether a place that the request names may be speaking
    for sentence in sentences(text):
        marks = marks_of(normalized(sentence))
        topics = _topics(marks, code=False)
        outside = outside or any(bits & lex.OUTSIDE for bits in marks)
        if outside:
            topics &= HARMLESS
        if topics & ~HARMLESS and (own := own_part(sentence)) != sentence:
            topics = topics & HARMLESS | _topics(marks_of(normalized(own)), code=False)
        if topics & ~HARMLESS and PATH.search(sentence):
            topics |= Topic.SCHEMA
        if topics:
            found.append(topics)
    return found


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
    for rule in RULES:
        if rule.holds(marks, every, code):
            topics |= rule.topic
    return topics


Holds = Callable[[list[int], int, bool], bool]
"""(marks of a sentence's words, all of them together, whether it is a code) -> whether it is about the topic"""


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
    costs_more = every & lex.MONEY and _then(marks, every, lex.FEATURE, lex.NEEDED, 2)
    if costs_more:  # here or elsewhere
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


class Rule(NamedTuple):
    """One topic, when it holds, and by which words: those that lead to a mark must not be the request's own."""

    topic: int
    holds: Holds
    alone: int = 0
    """The entries that suffice alone."""
    pairs: tuple[tuple[int, int], ...] = ()
    """The nouns and verbs that do together."""


RULES = (
    Rule(Topic.CONTENT, _content),
    Rule(Topic.UNJUDGED, _unjudged),
    Rule(
        Topic.QUOTA,
        _quota,
        alone=lex.OWING,
        pairs=((lex.MONEY | lex.QUOTA, lex.GONE), (lex.MONEY, lex.NEEDED), (lex.BUDGET, lex.SPENT)),
    ),
    Rule(Topic.RATE, _rate, alone=lex.PACE),
    Rule(Topic.CONTEXT, _context),
    Rule(Topic.FOREIGN, _foreign),
    Rule(Topic.LEFT, _left),
    Rule(Topic.LACKS, _lacks),
    Rule(Topic.KEY, _key, pairs=((lex.KEY, lex.BAD), (lex.NO, lex.KEY))),
    Rule(Topic.BARRED, _barred, pairs=((lex.REGION | lex.ACCOUNT, lex.BARRED | lex.SHUT),)),
    Rule(
        Topic.MODEL, _model, pairs=((lex.MODEL, lex.ABSENT), (lex.MODEL, lex.WEAK), (lex.NO, lex.MODEL | lex.FOR_MODEL))
    ),
    Rule(Topic.LOADING, _loading, pairs=((lex.MODEL, lex.LOADING),)),
    Rule(
        Topic.DOWN,
        _down,
        pairs=((lex.MODEL, lex.BUSY | lex.BROKEN | lex.LOADING | lex.ABSENT), (lex.NO, lex.MODEL | lex.FOR_MODEL)),
    ),
    Rule(Topic.NAMED, _named),
    Rule(Topic.SCHEMA, _schema),
)


def grounds(text: str, topics: int) -> list[tuple[str, ...]]:
    """The words that make a message about `topics`: from each noun to the nearest verb on either side."""
    for sentence in sentences(text):
        own = normalized(own_part(sentence))
        words, places, marks, ends = parse(own)
        if not _topics(marks, code=False) & topics:
            continue
        found: list[tuple[str, ...]] = []
        masks = 0
        for rule in RULES:
            if topics & rule.topic:
                masks |= rule.alone
                found += _spans(words, places, marks[: len(places)], ends, rule)
                for one, other in rule.pairs:
                    masks |= one | other
        return found + [(sign,) for sign, bits in signs() if bits & masks and sign in own]
    return []


def _spans(words: list[str], places: list[int], marks: list[int], ends: list[int], rule: Rule) -> list[tuple[str, ...]]:
    found = [tuple(words[places[at] : ends[at]]) for at, bits in enumerate(marks) if bits & rule.alone]
    for one, other in rule.pairs:
        verbs = [at for at, bits in enumerate(marks) if bits & other]
        for at, bits in enumerate(marks):
            if bits & one:
                before, behind = [verb for verb in verbs if verb <= at], [verb for verb in verbs if verb > at]
                found += [tuple(words[places[verb] : ends[at]]) for verb in before[-1:]]
                found += [tuple(words[places[at] : ends[verb]]) for verb in behind[:1]]
    return found
