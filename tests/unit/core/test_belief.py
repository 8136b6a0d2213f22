"""What is believed of an error: not what its request says itself; what is kept of it: not our key."""

from __future__ import annotations

import pytest

from oxllm.core.reading.outcome import Kind, Outcome
from oxllm.core.request.belief import believed, reveals
from oxllm.core.wire.body import RequestBody

OTHERWISE = Outcome(Kind.CLIENT_ERROR, "HTTP 400", 400)
QUOTA = Outcome(Kind.QUOTA, "out of quota", 400, grounds=(("credit", "balance"),), otherwise=OTHERWISE)


def body(text: bytes) -> RequestBody:
    return RequestBody.parse(b'{"model":"m","messages":[{"role":"user","content":"%b"}]}' % text)


@pytest.mark.parametrize(
    ("text", "kind"), [(b"what is a credit balance?", Kind.CLIENT_ERROR), (b"what is a credit?", Kind.QUOTA)]
)
def test_words_that_the_request_says_itself_are_not_believed(text: bytes, kind: Kind) -> None:
    assert believed(QUOTA, body(text), None).kind is kind


def test_without_the_request_they_are() -> None:
    assert believed(QUOTA, None, None) is QUOTA


@pytest.mark.parametrize(
    ("code", "key", "kept"),
    [
        ("busy", "sk-12345", "busy"),
        ("bad_sk-12345_key", "sk-12345", None),
        ("sk-12345", "sk-12345", None),
        ("busy", None, "busy"),
        (None, "sk-12345", None),
        ("busy", "", "busy"),
        ("context_length_exceeded", "x", "context_length_exceeded"),  # what a server without keys wants in its place
    ],
)
def test_a_code_that_repeats_our_key_is_dropped(code: str | None, key: str | None, kept: str | None) -> None:
    assert believed(Outcome(Kind.SERVER_ERROR, "HTTP 503", 503, code), None, key).code == kept


def test_a_code_that_repeats_our_key_is_dropped_from_what_is_left_to_believe() -> None:
    quota = Outcome(
        Kind.QUOTA, "x", grounds=(("credit",),), otherwise=Outcome(Kind.CLIENT_ERROR, "HTTP 400", 400, "sk-12345")
    )
    assert believed(quota, body(b"credit"), "sk-12345").code is None


@pytest.mark.parametrize(
    ("said", "key", "revealed"),
    [
        (b'{"error":"bad header: Bearer sk-12345"}', "sk-12345", True),
        (b'{"error":"bad header: Bearer sk-1..."}', "sk-12345", False),
        (b"sk-12345", None, False),
        (b"sk-12345", "", False),
        (b"ask olllama", "olllama", False),  # what a server without keys wants in the place of one
        (rb'{"error":"schl\u00fcssel"}', "schl\u00fcssel", True),
        (rb'{"error":"bad key: ABSK+aaa\/bbb="}', "ABSK+aaa/bbb=", True),  # as PHP writes it
        (rb'{"error":"bad key: ABSK\u002Baaa/bbb="}', "ABSK+aaa/bbb=", True),  # as .NET does
        (rb'{"error":"bad key: ABSK+aaa/bbb\u003d"}', "ABSK+aaa/bbb=", True),  # as Gson does
        (rb'{"error":"bad key: ABSK+aaa\\bbb"}', "ABSK+aaa/bbb=", False),
        (rb"\ud800", "sk-12345", False),
        ("schl\u00fcssel".encode(), "schl\u00fcssel", True),
    ],
)
def test_a_body_reveals_our_key_if_it_holds_all_of_one_that_is_none_of_a_few_letters(
    said: bytes, key: str | None, revealed: bool
) -> None:
    assert reveals(said, key) is revealed
    assert reveals(bytearray(said), key) is revealed
