"""What the client gets when nobody is left: whose refusal is passed on, and when words of ours say more."""

from __future__ import annotations

import pytest

from oxllm.core.reading.outcome import Cause, Kind, Outcome
from oxllm.core.request.last_answer import LastAnswer, Received, Refusal, is_futile
from oxllm.core.wire.errors import ApiError
from tests.support.by_hand import Drive

TOO_LONG = Outcome(Kind.CONTEXT_LENGTH, "HTTP 400: context length exceeded", 400)
BROKEN = Outcome(Kind.SERVER_ERROR, "HTTP 503", 503)
BAD = Outcome(Kind.CLIENT_ERROR, "HTTP 422", 422)

DRIVE = Drive("alpha", "beta").start()
ALPHA, BETA = DRIVE.route.candidates


def refusal(result: Outcome, body: bytes = b"{}") -> Refusal:
    return Refusal(DRIVE["alpha"], result, Received(result.status or 0, [], body))


def after(*results: Outcome) -> LastAnswer:
    """Of the first candidates, in order."""
    subject = LastAnswer()
    subject.tried += tuple(zip(DRIVE.route.candidates, results, strict=False))
    return subject


def test_the_newest_refusal_is_passed_on_if_all_say_what_only_they_can_say() -> None:
    subject = after(TOO_LONG, TOO_LONG)
    subject.keep(refusal(TOO_LONG))
    newest = refusal(TOO_LONG, b"newest")
    subject.keep(newest)
    assert subject.refusal(DRIVE.route, stored=False, now=0.0) is newest
    assert subject.kept == len(b"newest")


def test_no_refusal_is_passed_on_if_one_failed_otherwise_or_none_was_kept() -> None:
    subject = after(TOO_LONG, BROKEN)
    assert subject.refusal(DRIVE.route, stored=False, now=0.0) is None
    subject.keep(refusal(TOO_LONG))
    assert subject.refusal(DRIVE.route, stored=False, now=0.0) is None


def test_the_clients_own_fault_stands_whoever_fails_behind_it() -> None:
    subject, own = after(BAD), refusal(BAD)
    subject.keep(own)
    subject.final = True
    subject.tried += ((BETA, BROKEN),)
    subject.keep(refusal(TOO_LONG))
    assert subject.refusal(DRIVE.route, stored=False, now=0.0) is own


@pytest.mark.parametrize(("asked", "passed_on"), [(1, False), (2, True)])
def test_of_an_answer_that_somebody_keeps_all_have_to_be_asked(asked: int, passed_on: bool) -> None:
    subject = after(*[TOO_LONG] * asked)
    subject.keep(refusal(TOO_LONG))
    assert (subject.refusal(DRIVE.route, stored=True, now=0.0) is not None) == passed_on


def test_shortened_it_holds_nothing_and_means_the_same() -> None:
    subject = after(TOO_LONG)
    subject.shorten()
    assert subject.kept == 0
    subject.keep(refusal(TOO_LONG, b"x" * 1000))
    subject.shorten()
    found = subject.refusal(DRIVE.route, stored=False, now=0.0)
    assert found is not None
    assert isinstance(found.words, ApiError)
    assert (found.words.status, found.result, subject.kept) == (400, TOO_LONG, 0)
    assert found.words.message == "the provider answered HTTP 400: context length exceeded"


def test_our_own_words_name_each_target_and_blame_the_last() -> None:
    subject = after(TOO_LONG, BROKEN)
    error = subject.error(DRIVE.route, late=False, stored=False, now=DRIVE.now)
    assert (error.status, subject.cause) == (502, Cause.CAPACITY)
    assert "alpha/big-1: HTTP 400" in error.message
    assert "beta/big-1: HTTP 503" in error.message
    assert subject.error(DRIVE.route, late=True, stored=False, now=DRIVE.now).status == 504


def test_if_nobody_could_be_asked_that_is_a_lack_of_room() -> None:
    assert LastAnswer().cause is Cause.CAPACITY


@pytest.mark.parametrize("status", [400, 408, 409, 413, 422, 425, 429, 500, 503])
def test_what_an_sdk_would_repeat_is_said_to_be_futile_if_the_error_could_be_read(status: int) -> None:
    """The statuses on which `openai` and `anthropic` retry."""
    repeated = status in (408, 409, 425, 429) or status >= 500
    assert is_futile(TOO_LONG, status) == repeated
    assert not is_futile(BAD, status)
