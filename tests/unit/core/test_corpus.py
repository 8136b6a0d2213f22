"""Every answer of the corpus is read as it should be: without sockets, by its kind, hint and scope."""

from __future__ import annotations

import msgspec
import pytest

from oxllm.core.protocols import chat, completions, embeddings, messages, responses
from oxllm.core.protocols.asked import Asked
from oxllm.core.protocols.base import Protocol
from oxllm.core.reading.outcome import RULES, Kind, Last, Outcome, classify, in_band
from oxllm.core.request.error_reader import ErrorReader
from tests.support.corpus import Case, cases, fields, filled

NOW = 1_700_000_000.0
KINDS = {
    "client_error": {Kind.CLIENT_ERROR},
    "rate_limited": {Kind.RATE_LIMITED},
    "quota": {Kind.QUOTA},
    "too_large_for_window": {Kind.TOO_LARGE},
    "context_length": {Kind.CONTEXT_LENGTH},
    "auth": {Kind.AUTH, Kind.FORBIDDEN},
    "model_missing": {Kind.MISSING, Kind.NOT_FOUND},
    "overloaded": {Kind.SERVER_ERROR, Kind.LOADING},
    "server_error": {Kind.SERVER_ERROR, Kind.LOADING},
    "unavailable_for_request": {Kind.UNSUPPORTED},
    "content_refused": {Kind.CONTENT_REFUSED},
    "broken": {Kind.BAD_ANSWER, Kind.SERVER_ERROR, Kind.LOADING},
    "foreign_state": {Kind.FOREIGN_STATE},
}
LASTS = {"later": Last.LATER, "final": Last.FINAL, "as received": Last.AS_RECEIVED}
AT_THE_SECOND = {Kind.FORBIDDEN, Kind.NOT_FOUND}
OF_TARGET = {Kind.MISSING, Kind.LOADING, Kind.RATE_LIMITED, Kind.FORBIDDEN}


def said(case: Case) -> tuple[int, bytes] | None:
    """The status and the error that a case holds; None if it holds none that is read as such."""
    if case.status >= 400:
        return case.status, filled(case.body or "", NOW).encode()
    if case.events is not None:
        errors = [event for event in case.events if '"error":{' in event.replace(" ", "") or '"error":"' in event]
        return (200, errors[0].partition("data:")[2].strip().encode()) if errors else None
    if case.expect.outcome in ("ok", "broken"):
        return None
    return 200, (case.body or "").encode()


ERRORS = [case for case in cases() if case.expect.outcome != "ok" and said(case) is not None]


def read(case: Case) -> Outcome:
    error = said(case)
    assert error is not None
    status, body = error
    return in_band(body, NOW) if status == 200 else classify(status, fields(case, NOW), body, NOW)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.id)
def test_an_answer_is_read_as_it_should_be(case: Case) -> None:
    found = read(case)
    assert found.kind in KINDS[case.expect.outcome]
    assert found.kind not in AT_THE_SECOND or case.times > 1
    if case.expect.outcome != "broken":
        assert RULES[found.kind].failover == case.expect.failover
    if case.expect.scope == "target":
        assert found.of_target or found.kind in OF_TARGET
    if case.expect.outcome == "rate_limited":
        wanted = case.expect.retry_after_s
        assert found.retry_after == (None if wanted is None else pytest.approx(wanted, rel=0.02))


def test_who_has_nowhere_else_to_go_is_told_what_is_worth_a_retry() -> None:
    wrong = []
    for case in ERRORS:
        last, wanted = RULES[read(case).kind].last, LASTS.get(case.expect.alone)
        if wanted is Last.FINAL and last is Last.AS_RECEIVED:  # a provider's own 4xx is final, too
            wanted = None if case.status not in (408, 409, 425, 429) else wanted
        if case.status >= 400 and wanted not in (None, last):
            wrong.append(case.id)
    assert wrong == []


PROTOCOLS = [chat.PROTOCOL, completions.PROTOCOL, embeddings.PROTOCOL, messages.PROTOCOL, responses.PROTOCOL]


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
@pytest.mark.slow
def test_an_error_means_the_same_in_every_protocol(protocol: Protocol) -> None:
    for case in ERRORS:
        if case.status < 400:
            continue
        body = filled(case.body or "", NOW).encode()
        reader = ErrorReader(protocol, Asked(), case.status, fields(case, NOW), NOW, None)
        for at in range(0, len(body), 100):
            reader.feed(body[at : at + 100])
        assert reader.eof() == read(case)


def test_an_error_event_means_what_the_http_error_means() -> None:
    """Anthropic's, and a failed response with the same error inside. An event has no headers."""
    for case in ERRORS:
        try:
            error = msgspec.json.decode(case.body or "")["error"]
        except (msgspec.DecodeError, KeyError, TypeError):
            continue
        if case.status < 400 or not isinstance(error, dict):
            continue
        error = {"code": case.status, **{name: value for name, value in error.items() if value is not None}}
        if not isinstance(error["code"], int):
            error["status"] = case.status
        event = messages.StreamReader(NOW)
        event.feed(b"event: error\ndata: " + msgspec.json.encode({"type": "error", "error": error}) + b"\n\n")
        assert event.failure is not None
        assert event.failure.kind is read(msgspec.structs.replace(case, headers={})).kind
