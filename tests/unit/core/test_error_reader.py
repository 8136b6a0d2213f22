"""What a response that is no success keeps; JSON in place of a stream: an error that names its status itself, and never
an answer."""

from __future__ import annotations

import gc

import pytest

from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.reading.hints import Headers
from oxllm.core.reading.outcome import LOST, Kind
from oxllm.core.request.error_reader import ERROR_BODY_MAX, ErrorReader, MisplacedReader

NOW = 1_700_000_000.0
TOO_LONG = b'{"error":{"code":400,"message":"the request exceeds the available context size","type":"x"}}'


def reader() -> MisplacedReader:
    return MisplacedReader(chat.PROTOCOL, Asked(stream=True), 200, (), NOW, None)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_error_in_place_of_a_stream_is_read_however_it_is_cut(size: int) -> None:
    found = reader()
    for at in range(0, len(TOO_LONG), size):
        assert found.feed(TOO_LONG[at : at + size]) == b""
    verdict = found.eof()
    assert verdict is not None
    assert (verdict.kind, verdict.status) == (Kind.CONTEXT_LENGTH, 400)
    assert found.refusal() is None


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[{"message":{"content":"x"}}]}', b"<html>"])
def test_what_is_no_error_either_is_a_bad_answer(body: bytes) -> None:
    found = reader()
    found.feed(body)
    verdict = found.eof()
    assert verdict is not None
    assert (verdict.kind, verdict.reason) == (Kind.BAD_ANSWER, "JSON instead of a stream")


def test_a_stream_under_a_wrong_name_is_judged_at_its_first_byte() -> None:
    found = reader()
    kinds = []
    for part in (b"\n\n", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'):
        found.feed(part)
        kinds.append(found.failure and found.failure.kind)
    assert kinds == [None, Kind.BAD_ANSWER]


def test_a_long_one_is_judged_by_its_start_and_never_handed_out() -> None:
    found = reader()
    assert found.feed(TOO_LONG[:-2] + b',"x":"' + b"y" * ERROR_BODY_MAX) == b""
    assert found.failure is not None
    assert found.failure.kind is Kind.CONTEXT_LENGTH
    assert found.release() == b""


@pytest.mark.parametrize("end", [b"", b"x" * ERROR_BODY_MAX])
def test_the_head_of_an_error_is_let_go_of_once_it_is_judged(end: bytes) -> None:
    fields: Headers = [(b"x-of-a-cdn", b"x" * 1000)]
    found = ErrorReader(chat.PROTOCOL, Asked(), 400, fields, NOW, None)
    found.feed(TOO_LONG + end)
    if not end:
        found.eof()
    assert found.failure is not None
    assert fields not in gc.get_referents(found)


@pytest.mark.parametrize(("body", "whole"), [(b'{"error":"\xc3\xa4"}', True), (b'{"error":"\xe4"}', False)])
def test_of_one_that_broke_off_only_json_in_utf_8_shows_that_it_is_whole(body: bytes, whole: bool) -> None:
    found = ErrorReader(chat.PROTOCOL, Asked(), 400, (), NOW, None)
    found.feed(body)
    found.broke_off(LOST)
    assert found.refusal() == (body if whole else None)
