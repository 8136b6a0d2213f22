"""Reading errors: what a request says is never taken for what its provider says, and nothing takes long."""

from __future__ import annotations

import contextlib
import json
import re
import tracemalloc
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oxllm.core.protocols import chat
from oxllm.core.protocols.asked import Asked
from oxllm.core.reading.outcome import RULES, Effect, Kind, Outcome, classify, in_band
from oxllm.core.reading.shapes import BODY_MAX, completed
from oxllm.core.request.error_reader import ErrorReader
from oxllm.core.wire.body import RequestBody
from tests.support.corpus import cases
from tests.support.effort import passes

NOW = 1_700_000_000.0
PHRASES = [
    "Your credit balance is too low to access the API",
    "You exceeded your current quota, please check your plan and billing details.",
    "Incorrect API key provided",
    "The model `gpt-9` does not exist",
    "This organization has been disabled.",
    "User location is not supported for the API use.",
    "Rate limit reached. Please try again in 59m.",
    "model is currently loading",
    "insufficient_quota",
    "invalid_api_key",
    "账户余额不足",
    '{"error":{"message":"Insufficient balance","code":"insufficient_quota"}}',
    "{'error': {'message': 'Insufficient balance', 'code': 'insufficient_quota'}}",
]
WORDS = st.sampled_from(PHRASES) | st.text(max_size=20)
REQUEST = st.recursive(
    WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "error", "message", "code", "type", "detail", "status", "msg", "raw", "role"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
STATUSES = st.sampled_from([400, 401, 402, 403, 404, 409, 410, 413, 415, 422, 429, 500, 502, 503, 529])


def pydantic(request: object) -> object:
    item = {"type": "string_type", "loc": ["body", request], "msg": "Input should be a valid string", "input": request}
    return {"detail": [item | {"ctx": {"given": request}}]}


def nested(request: object) -> object:
    return {"error": {"message": "Invalid request", "type": "invalid_request_error", "request": request}}


def quoted(request: object) -> object:
    return {"error": {"message": f"Invalid value: {msgspec.json.encode(request).decode()}", "param": "messages[0]"}}


def as_python_prints_it(request: object) -> object:
    message = f"[{{'type': 'string_type', 'loc': ('body',), 'msg': 'Input should be a string', 'input': {request!r}}}]"
    return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}


def beside(request: object) -> object:
    return {"error": "Bad Request", "request": request, "body": request, "input": request, "data": request}


ECHOES: list[Callable[[object], object]] = [pydantic, nested, quoted, as_python_prints_it, beside]


def meaning(outcome: Outcome) -> tuple[object, ...]:
    return outcome.kind, outcome.retry_after, outcome.of_target


@pytest.mark.parametrize("echo", ECHOES)
@given(request=REQUEST, status=STATUSES)
@example(request={"content": PHRASES[0], "error": PHRASES[-1]}, status=400)
@example(request=['"', ["Rate limit reached. Please try again in 59m."]], status=402)
def test_what_a_server_repeats_of_the_request_changes_nothing(
    echo: Callable[[object], object], request: object, status: int
) -> None:
    without = classify(status, [], msgspec.json.encode(echo("hi")), NOW)
    found = classify(status, [], msgspec.json.encode(echo(request)), NOW)
    assert meaning(found) == meaning(without)


@pytest.mark.parametrize("phrase", PHRASES)
@pytest.mark.parametrize("quotes", ["''", '""', "``", "\u201c\u201d", "\u300c\u300d"])
def test_a_quoted_phrase_is_the_requests(phrase: str, quotes: str) -> None:
    text = phrase.replace("`", "").replace("'", "").replace('"', "")
    body = msgspec.json.encode({"error": {"message": f"Cannot parse {quotes[0]}{text}{quotes[1]} in messages"}})
    assert classify(400, [], body, NOW).kind is Kind.CLIENT_ERROR


@pytest.mark.parametrize("phrase", PHRASES)
def test_a_list_of_faults_marks_nothing(phrase: str) -> None:
    faults = {"detail": [{"type": "value_error", "loc": ["body", "messages", 0], "msg": f"Value error, {phrase}"}]}
    for status in (400, 422):
        found = classify(status, [], msgspec.json.encode(faults), NOW)
        assert RULES[found.kind].effect is Effect.NONE


def assert_read(status: int, body: bytes) -> None:
    """It is read as something, whatever it is: as an error, and inside a stream as one or as none."""
    assert classify(status, [], body, NOW).kind in RULES
    assert in_band(body, NOW).kind in RULES


BODIES = [case.body.encode() for case in cases() if case.status >= 400 and case.body]


@given(st.sampled_from(BODIES), st.integers(0, 2000), STATUSES)
def test_a_body_that_is_cut_anywhere_is_read_as_far_as_it_goes(body: bytes, end: int, status: int) -> None:
    assert_read(status, body[:end])


def containers() -> list[bytes]:
    """Those bodies that are an object or a list in JSON: some logs begin with a bracket, too."""
    found = []
    for body in BODIES:
        with contextlib.suppress(msgspec.DecodeError):
            if isinstance(msgspec.json.decode(body), dict | list):
                found.append(body)
    return found


@given(st.sampled_from(containers()), st.integers(0, 2000))
def test_what_is_completed_is_json_or_nothing(body: bytes, end: int) -> None:
    whole = completed(body[:end])
    assert not whole or msgspec.json.decode(whole) is not None


@pytest.mark.parametrize(("kind", "code"), [(Kind.QUOTA, "insufficient_quota"), (Kind.AUTH, "invalid_api_key")])
def test_a_code_that_came_before_the_cut_counts(kind: Kind, code: str) -> None:
    body = msgspec.json.encode({"error": {"code": code, "param": None, "message": "x" * 100_000}})
    assert classify(400, [], body, NOW).kind is kind
    assert classify(400, [], body[:100], NOW).kind is kind


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode), STATUSES)
def test_any_bytes_at_all_are_read(body: bytes, status: int) -> None:
    assert_read(status, body)


HARD: dict[str, bytes] = {
    "objects in objects": b'{"error":' * 30_000,
    "lists in lists": b"[" * 200_000,
    "a whole tower": b'{"error":' * 500 + b"1" + b"}" * 500,
    "many words": b'{"error":{"message":"' + b"model " * 40_000 + b'"}}',
    "many members": b'{"error":{' + b",".join(b'"k%d":1' % i for i in range(30_000)) + b"}}",
    "many errors": b'{"errors":[' + b'{"message":"x"},' * 20_000 + b'{"message":"y"}]}',
    "quotes": b'{"error":{"message":"' + b"`'\\\"" * 40_000 + b'"}}',
    "quotes in text": b"`'\"" * 60_000,
    "errors in a message": b'{"error":{"message":"' + b"Error - {'error': " * 9_000 + b'"}}',
    "tags": b"<Code>" * 40_000,
    "waits": b"wait for again in after " * 10_000,
    "amounts": b"retry in " + b"1s " * 60_000,
    "digits": b"limit " + b"9" * 200_000,
    "names": b"a/1.b@" * 30_000,
    "backslashes": b'"' + b"\\\\" * 100_000,
    "no utf-8": b'{"error":{"message":"' + b"\xff\xfe" * 50_000 + b'"}}',
    "signs": "账户".encode() * 40_000,
    "events": b"data: {}\n\n" * 20_000,
    "dashes": b"- " * 100_000,
    "colons": b'{"error":{"message":"' + b"error: {" * 20_000 + b'"}}',
}


@pytest.mark.parametrize("name", HARD)
def test_no_body_takes_long(name: str) -> None:
    assert passes(lambda: (classify(400, [], HARD[name], NOW), in_band(HARD[name], NOW))) < 50


def test_nothing_behind_the_first_64_kib_is_read() -> None:
    body = msgspec.json.encode({"error": {"request": "x" * BODY_MAX, "code": "insufficient_quota"}})
    assert classify(400, [], body, NOW).kind is Kind.CLIENT_ERROR


WRAPPERS = [
    "{}",
    "Failed to parse message: {}",
    "{} is no valid content",
    "Error 17: {} (see the docs)",
    "bad role {}!",
]
SPOKEN = [
    "Your credit balance is too low to access the API",
    "You exceeded your current quota, please check your plan and billing details.",
    "Incorrect API key provided",
    "The model gpt-9 doesn't exist",
    "This organization has been disabled.",
    "User location is not supported for the API use.",
    "Rate limit reached. Please try again in 59m.",
    "The model is currently loading",
    "The model was unloaded",
    "Please pass a valid API key",
    "Retry after: 3000",
    "Supported model names are: big-1",
    "Plan usage limit reached: purchase credits",
    "channel:invalid_key",
    "There are no channels for this model",
    "Third-party apps now draw from your extra usage",
    "账户余额不足",
    "НЕДОСТАТОЧНО СРЕДСТВ",
    "Crédit ÉPUISÉ",
    "Clave de API no válida",
    "Das Modell wurde nicht gefunden",
    "Zu viele Anfragen",
    "No API key set",
    "Insufficient balance",
    "insufficient_quota",
    "invalid_api_key",
    "ModelNotOpen",
    "Error - {'error': {'message': 'Insufficient balance', 'code': 'insufficient_quota'}}",
]


def unless_repeated(outcome: Outcome, request: bytes) -> Outcome:
    """As the exchange does it."""
    if outcome.otherwise is not None and RequestBody.parse(request).says(outcome.grounds):
        return outcome.otherwise
    return outcome


def mark(outcome: Outcome) -> tuple[object, ...]:
    return RULES[outcome.kind].effect, RULES[outcome.kind].breaker, outcome.retry_after, outcome.of_target


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("phrase", SPOKEN)
@given(
    status=st.sampled_from([400, 403, 409, 413, 415, 422, 429, 500, 503]),
    ascii_only=st.booleans(),
    shape=st.sampled_from(["openai", "flat", "detail", "string", "text", "code", "type"]),
)
def test_a_phrase_of_the_request_marks_nothing_even_if_nothing_shows_that_it_is_repeated(
    wrapper: str, phrase: str, status: int, ascii_only: bool, shape: str
) -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": f"say: {phrase}"}]}
    data = json.dumps(request, ensure_ascii=ascii_only).encode()

    def body(said: str) -> bytes:
        message = wrapper.format(said)
        shapes: dict[str, object] = {
            "openai": {"error": {"message": message, "type": "invalid_request_error", "code": None}},
            "flat": {"object": "error", "message": message, "code": status},
            "detail": {"detail": message},
            "string": {"error": message},
            "code": {"error": {"message": "no", "code": said}},
            "type": {"error": {"message": "no", "type": said}},
        }
        return message.encode() if shape == "text" else json.dumps(shapes[shape]).encode()

    found = unless_repeated(classify(status, [], body(phrase), NOW), data)
    if found.kind is not Kind.UNSUPPORTED:  # "bad role" about anything: nobody is marked for that, nor under a 500
        assert mark(found) == mark(classify(status, [], body("hello"), NOW))


@pytest.mark.parametrize("pace", ["20 requests per minute", "60 calls / min", "RPM: 3", "5 queries/second"])
def test_a_quota_of_so_many_a_minute_is_a_pace_unless_the_request_says_so(pace: str) -> None:
    error = {"message": f"No more of {pace} for this", "code": "request_quota_exceeded"}
    found = classify(429, [], json.dumps({"error": error}).encode(), NOW)
    assert found.kind is Kind.RATE_LIMITED
    for content, kind in ((f"What is {pace}?", Kind.QUOTA), ("hello", Kind.RATE_LIMITED)):
        request = json.dumps({"model": "m", "messages": [{"role": "user", "content": content}]}).encode()
        assert unless_repeated(found, request).kind is kind


@pytest.mark.parametrize(
    "words", ["You are out of credits. Until then 3 requests per minute", "Quota of the day is used up"]
)
def test_a_quota_whose_words_speak_of_money_or_of_no_minute_stays_one(words: str) -> None:
    body = json.dumps({"error": {"message": words, "code": "insufficient_quota"}}).encode()
    assert classify(429, [], body, NOW).kind is Kind.QUOTA


def test_a_provider_is_believed_by_those_who_did_not_say_it_themselves() -> None:
    request = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello, what is the weather?"}]})
    doubted = []
    for case in cases():
        found = classify(case.status, [], (case.body or "").encode(), NOW)
        if case.status >= 400 and unless_repeated(found, request.encode()) is not found:
            doubted.append(case.id)
    assert doubted == []


TOOLS = [
    *("check_quota", "get_credit_balance", "send_payment", "billing_report", "wallet.transfer_money", "sendPayment"),
    *("mcp__stripe__create_payment", "account_lookup", "getUserAccount", "api_key_manager", "set_project_budget"),
    *("close_account", "free_tier_check", "checkCreditLimit"),
    *("check-credit-balance", "tool-name-quota-check", "get-account-balance", "rate-limit-status", "delete-api-key"),
    *("set-monthly-budget", "region-payment-lookup"),
]
DOTTED = ["billing.pay", "rate_limiter", "list_models", "load_model", "model_selector", "key.revoke", "quota.used_up"]
"""The same where the noun stands before the name: elsewhere they may be a code or a file."""
FAULTS = [
    *("Function {} not found", "The tool {} is disabled", "{} has been blocked by tool_choice", "Unknown tool: {}"),
    "Tool {} was not found in the request",
    "tool {} failed validation: missing required field",
    "parameters for tool {} did not match schema: errors: [missing properties: 'x']",
    "tool_calls[0].function.{} is required but missing",
    "Invalid function name {}: the limit of 64 characters is exceeded",
    "Tool call to {} has no matching tool result",
    "No tool output found for function call {}",
    "{}: parameters must be an object",
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("status", [400, 404, 422, 500])
def test_no_word_of_a_tools_name_marks_anybody(fault: str, status: int) -> None:
    def read(name: str) -> Outcome:
        error = {"message": fault.format(name), "type": "invalid_request_error", "param": None, "code": None}
        return classify(status, [], json.dumps({"error": error}).encode(), NOW)

    said_of_a_tool = re.search(r"(?i:tool|function) (?:name )?\{\}", fault) is not None
    names = TOOLS + DOTTED if said_of_a_tool else TOOLS
    assert [name for name in names if mark(read(name)) != mark(read("foo"))] == []


PLACES = [
    *("Tool call failed: {}", "Error executing tool x: {}", "Tool 'search' returned an error: {}", "plugin error: {}"),
    *("MCP server returned: {}", "MCP tool call failed with {}", "Connector x responded: {}", "Webhook returned {}"),
    *("Function call returned error: {}", "web_search failed: {}", "code interpreter failed: {}", "Tool failed. {}"),
    *("Failed to download image: {}", "Could not download the image: {}", "The image host responded with {}"),
    *("Unable to fetch file: {}", "Failed to retrieve the document at the URL: {}", "Video download error: {}"),
    *("The URL you provided returned {}", "Failed to load image from URL. Status: {}", "External tool provider: {}"),
    *("Your tool backend replied: {}", "Error while loading attachment: {}", "tool_result is an error: {}"),
]
BILLS = ["402 Payment Required", "429 Too Many Requests", "HTTP 403: quota exceeded", "account suspended", *PHRASES]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("status", [400, 422, 424, 500, 502])
def test_what_a_place_says_that_the_request_names_marks_nobody(place: str, status: int) -> None:
    """Who runs a tool's server or a picture's host could otherwise take a provider away from others."""

    def read(said: str) -> Outcome:
        return classify(status, [], msgspec.json.encode({"error": {"message": place.format(said)}}), NOW)

    assert [said for said in BILLS if mark(read(said)) != mark(read("no"))] == []


@pytest.mark.parametrize("place", PLACES)
def test_nor_does_it_say_how_long_to_wait(place: str) -> None:
    body = msgspec.json.encode({"error": {"message": place.format("Rate limited, please try again in 59m.")}})
    assert classify(429, [], body, NOW).retry_after is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Upstream said insufficient_quota for this request", Kind.QUOTA),
        ("error: credit_balance_too_low", Kind.QUOTA),
        ("Invalid api_key provided", Kind.AUTH),
        ("account_deactivated", Kind.AUTH),
    ],
)
def test_a_code_in_a_sentence_is_read(message: str, kind: Kind) -> None:
    assert classify(400, [], json.dumps({"error": {"message": message}}).encode(), NOW).kind is kind


NAMES = sorted(
    {
        *("error", "errors", "code", "type", "message", "msg", "detail", "details", "status", "reason", "metadata"),
        *("raw", "headers", "innererror", "param", "loc", "input", "response", "base_resp", "violations", "quotaId"),
        *("retryDelay", "retry_after", "resets_in_seconds", "title", "fault", "x", ""),
    }
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.sampled_from([400, 429, 503, "429", "52s", "1e999", "9" * 400, "\ud7ff", "RESOURCE_EXHAUSTED"])
)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=40,
)


@given(ANYTHING, STATUSES, st.integers(0, 3))
def test_json_of_any_shape_is_read_and_says_the_same_each_time(value: object, status: int, wrapped: int) -> None:
    body = msgspec.json.encode(value)
    for _ in range(wrapped):  # JSON in a message of JSON
        body = msgspec.json.encode({"error": {"message": body.decode(), "metadata": {"raw": body.decode()}}})
    found = classify(status, [], body, NOW)
    assert found == classify(status, [], body, NOW)
    assert found.retry_after is None or 0 < found.retry_after <= 3600
    assert found.code is None or (len(found.code) <= 64 and found.code.isascii())
    inside = in_band(body, NOW)
    assert inside.status is None or 400 <= inside.status <= 599


@given(st.sampled_from(BODIES), st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=6)), max_size=8), STATUSES)
def test_a_body_with_wrong_bytes_anywhere_is_read(body: bytes, patches: list[tuple[int, bytes]], status: int) -> None:
    for at, patch in patches:
        body = body[: at % (len(body) + 1)] + patch + body[at % (len(body) + 1) + len(patch) // 2 :]
    found = classify(status, [], body, NOW)
    assert found.status == status
    assert found.otherwise is None or found.otherwise.kind is not None


@given(st.sampled_from(BODIES), st.integers(1, 50), STATUSES)
def test_reading_is_the_same_however_the_bytes_come(body: bytes, size: int, status: int) -> None:
    reader = ErrorReader(chat.PROTOCOL, Asked(), status, (), NOW, None)
    for at in range(0, len(body), size):
        assert reader.feed(body[at : at + size]) == b""
    assert reader.eof() == classify(status, [], body, NOW)


@pytest.mark.parametrize("name", HARD)
def test_no_body_takes_much_memory(name: str) -> None:
    """A quarter of a megabyte of anything costs less than 4 MB while it is read, and nothing behind it."""
    classify(400, [], HARD[name], NOW)
    tracemalloc.start()
    try:
        classify(400, [], HARD[name], NOW)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20
    assert left < 64 * 1024
