"""Every row of the outcome table, and every provider's way of saying it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.outcome import (
    RULES,
    Cause,
    Effect,
    Failure,
    Kind,
    Outcome,
    classify,
    in_band,
    network,
)

NOW = 1_700_000_000.0


def error(**fields: object) -> bytes:
    return msgspec.json.encode({"error": fields})


OPENAI_RATE = error(
    message="Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Used 29500, "
    "Requested 9823. Please try again in 18.642s.",
    type="tokens",
    param=None,
    code="rate_limit_exceeded",
)
OPENAI_TOO_LARGE = error(
    message="Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, Requested 31538.",
    type="tokens",
    param=None,
    code="rate_limit_exceeded",
)
OPENAI_QUOTA = error(
    message="You exceeded your current quota, please check your plan and billing details.",
    type="insufficient_quota",
    param=None,
    code="insufficient_quota",
)
GEMINI_RATE = msgspec.json.encode(
    [
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota, please check your plan and billing details.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "52s"}],
            }
        }
    ]
)

DIALECTS: dict[str, tuple[int, bytes, Kind, str | None, float | None]] = {
    "openai rate": (429, OPENAI_RATE, Kind.RATE_LIMITED, "rate_limit_exceeded", 18.642),
    "openai 429 that never fits": (429, OPENAI_TOO_LARGE, Kind.TOO_LARGE, "rate_limit_exceeded", None),
    "openai quota": (429, OPENAI_QUOTA, Kind.QUOTA, "insufficient_quota", None),
    "openai quota, null code": (
        429,
        error(type="insufficient_quota", code=None),
        Kind.QUOTA,
        "insufficient_quota",
        None,
    ),
    "a rate limit with a quota's type": (
        429,
        error(type="insufficient_quota", code="rate_limit_exceeded"),
        Kind.RATE_LIMITED,
        "rate_limit_exceeded",
        None,
    ),
    "cloudflare json, integer code": (
        502,
        error(code=502, type="cf_bad_gateway"),
        Kind.SERVER_ERROR,
        "cf_bad_gateway",
        None,
    ),
    "cloudflare html": (520, b"<html><title>520</title>", Kind.SERVER_ERROR, None, None),
    "azure 429, code a string of digits": (
        429,
        error(code="429", message="Please retry after 86400 seconds."),
        Kind.RATE_LIMITED,
        "429",
        3600.0,
    ),
    "azure content filter": (400, error(code="content_filter"), Kind.CONTENT_REFUSED, "content_filter", None),
    "anthropic overloaded": (
        529,
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        Kind.SERVER_ERROR,
        "overloaded_error",
        None,
    ),
    "anthropic rate": (
        429,
        b'{"type":"error","error":{"type":"rate_limit_error","message":"would exceed"}}',
        Kind.RATE_LIMITED,
        "rate_limit_error",
        None,
    ),
    "anthropic in openai shape: the type lies": (
        429,
        error(code="rate_limit_error", type="invalid_request_error"),
        Kind.RATE_LIMITED,
        "rate_limit_error",
        None,
    ),
    "anthropic prompt too long": (
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}',
        Kind.CONTEXT_LENGTH,
        "invalid_request_error",
        None,
    ),
    "groq capacity": (498, error(code="capacity_exceeded"), Kind.SERVER_ERROR, "capacity_exceeded", None),
    "groq too large": (
        413,
        error(message="Request too large: Limit 6000, Requested 7000", type="tokens"),
        Kind.TOO_LARGE,
        "tokens",
        None,
    ),
    "openrouter limit, headers in the body": (
        429,
        error(
            code=429,
            message="Rate limit exceeded",
            metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000030000"}},
        ),
        Kind.RATE_LIMITED,
        "429",
        30.0,
    ),
    "openrouter upstream's words, escaped": (
        429,
        error(code=429, metadata={"raw": '{"error":{"message":"Please try again in 6ms."}}'}),
        Kind.RATE_LIMITED,
        "429",
        0.006,
    ),
    "openrouter credits": (402, error(code=402, message="Insufficient credits"), Kind.QUOTA, "402", None),
    "openrouter no provider": (503, error(code=503), Kind.SERVER_ERROR, "503", None),
    "vllm flat": (
        400,
        b'{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}',
        Kind.CLIENT_ERROR,
        "BadRequestError",
        None,
    ),
    "vllm context": (
        400,
        (
            b'{"object":"error","message":"This model\'s maximum context length is 4096 tokens.",'
            b'"type":"BadRequestError","code":400}'
        ),
        Kind.CONTEXT_LENGTH,
        "BadRequestError",
        None,
    ),
    "llama.cpp context": (
        400,
        error(code=400, type="exceed_context_size_error"),
        Kind.CONTEXT_LENGTH,
        "exceed_context_size_error",
        None,
    ),
    "openai context": (
        400,
        error(code="context_length_exceeded"),
        Kind.CONTEXT_LENGTH,
        "context_length_exceeded",
        None,
    ),
    "ollama busy": (
        503,
        error(type="api_error", message="server busy, please try again.  maximum pending requests exceeded"),
        Kind.SERVER_ERROR,
        "api_error",
        None,
    ),
    "gemini words a rate limit as openai a quota": (429, GEMINI_RATE, Kind.RATE_LIMITED, "RESOURCE_EXHAUSTED", 52.0),
    "moonshot quota": (
        429,
        error(type="exceeded_current_quota_error"),
        Kind.QUOTA,
        "exceeded_current_quota_error",
        None,
    ),
    "an error that is text": (400, b'{"error":"no such thing"}', Kind.CLIENT_ERROR, None, None),
    "fastapi detail": (422, b'{"detail":[{"loc":["body"]}]}', Kind.CLIENT_ERROR, None, None),
    "no body": (429, b"", Kind.RATE_LIMITED, None, None),
}


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Limit 30000, Requested 31538.", Kind.TOO_LARGE),
        ("Limit: 30,000 tokens, used 0, requested: 31,538 tokens", Kind.TOO_LARGE),
        ("You requested 9000 tokens, but the limit is 6000", Kind.TOO_LARGE),
        ("requested a total of 50000 tokens, maximum 30000 per minute", Kind.TOO_LARGE),
        ("Limit 30000, Used 29500, Requested 9823.", Kind.RATE_LIMITED),
        ("requested 100 of at most limit 6000", Kind.RATE_LIMITED),
        ("requests per min: Limit 3, Used 3, Requested 1", Kind.RATE_LIMITED),
        ("Request too large for gpt-4o", Kind.TOO_LARGE),
        ("The payload is too big", Kind.TOO_LARGE),
    ],
)
def test_a_429_that_no_waiting_helps_says_so_in_numbers_or_words(words: str, kind: Kind) -> None:
    assert classify(429, [], error(message=words), NOW).kind is kind


@pytest.mark.parametrize("name", DIALECTS)
def test_each_dialect_is_read(name: str) -> None:
    status, body, kind, code, hint = DIALECTS[name]
    outcome = classify(status, [], body, NOW)
    assert (outcome.kind, outcome.code, outcome.retry_after) == (kind, code, hint)
    assert outcome.status == status


STATUSES = {
    Kind.BAD_ANSWER: [101, 200, 204, 206, 301, 302, 304, 307, 308, 399],
    Kind.CLIENT_ERROR: [400, 405, 406, 409, 415, 418, 422, 451, 497, 499],
    Kind.AUTH: [401],
    Kind.QUOTA: [402],
    Kind.FORBIDDEN: [403],
    Kind.MISSING: [404, 410],
    Kind.TOO_LARGE: [413],
    Kind.RATE_LIMITED: [429],
    Kind.SERVER_ERROR: [408, 424, 425, 498, *range(500, 512), *range(520, 531), 598, 599, 999],
}


@pytest.mark.parametrize(("kind", "status"), [(kind, status) for kind, each in STATUSES.items() for status in each])
def test_a_status_without_a_body_has_its_kind(kind: Kind, status: int) -> None:
    assert classify(status, [], b"", NOW).kind is kind


def test_the_rows_say_what_the_specified_table_says() -> None:
    rows = {kind: (rule.failover, rule.breaker, rule.effect) for kind, rule in RULES.items()}
    assert rows == {
        Kind.SUCCESS: (False, False, Effect.NONE),
        Kind.BAD_ANSWER: (True, True, Effect.NONE),
        Kind.RATE_LIMITED: (True, False, Effect.RATE),
        Kind.QUOTA: (True, False, Effect.QUOTA),
        Kind.TOO_LARGE: (True, False, Effect.NONE),
        Kind.SERVER_ERROR: (True, True, Effect.HINT),
        Kind.NETWORK: (True, True, Effect.NONE),
        Kind.LOCAL: (True, False, Effect.NONE),
        Kind.TIMEOUT: (True, True, Effect.NONE),
        Kind.AUTH: (True, False, Effect.AUTH),
        Kind.FORBIDDEN: (True, False, Effect.FORBIDDEN),
        Kind.MISSING: (True, False, Effect.MISSING),
        Kind.CONTEXT_LENGTH: (True, False, Effect.NONE),
        Kind.UNSUPPORTED: (True, False, Effect.NONE),
        Kind.CONTENT_REFUSED: (False, False, Effect.NONE),
        Kind.FOREIGN_STATE: (True, False, Effect.NONE),
        Kind.LOADING: (True, False, Effect.LOADING),
        Kind.NOT_FOUND: (True, False, Effect.NOT_FOUND),
        Kind.CLIENT_ERROR: (False, False, Effect.NONE),
        Kind.BROKEN: (False, True, Effect.NONE),
        Kind.GONE: (False, False, Effect.NONE),
        Kind.DEADLINE: (True, False, Effect.NONE),
        Kind.LOST: (False, False, Effect.NONE),
        Kind.STOPPED: (False, False, Effect.NONE),
        Kind.WITHHELD: (True, False, Effect.NONE),
    }
    assert set(rows) == set(Kind)


def test_every_failure_has_somebody_to_blame_and_the_rest_nobody() -> None:
    blameless = {kind for kind, rule in RULES.items() if rule.cause is None}
    assert blameless == {Kind.SUCCESS, Kind.LOST, Kind.WITHHELD}
    assert {rule.cause for rule in RULES.values()} == {None, *Cause}


@pytest.mark.parametrize(
    ("value", "status", "kind"),
    [
        (b"ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/", 400, Kind.RATE_LIMITED),
        (b"UnrecognizedClientException", 403, Kind.AUTH),
        (b"ExpiredTokenException:", 403, Kind.AUTH),
        (b"AccessDeniedException:", 403, Kind.FORBIDDEN),
        (b"ModelNotReadyException:", 429, Kind.RATE_LIMITED),
        (b"ModelNotReadyException:", 503, Kind.LOADING),
        (b"ValidationException:", 400, Kind.CLIENT_ERROR),
        (b"ServiceUnavailableException:", 503, Kind.SERVER_ERROR),
    ],
)
def test_a_type_in_a_header_is_read_too(value: bytes, status: int, kind: Kind) -> None:
    found = classify(status, [(b"x-amzn-errortype", value)], b'{"message":"no"}', NOW)
    assert found.kind is kind
    assert found.code == value.partition(b":")[0].decode()


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The engine is currently overloaded, please try again later", Kind.SERVER_ERROR),
        ("The server is overloaded", Kind.SERVER_ERROR),
        ("No instances available", Kind.SERVER_ERROR),
        ("server busy, please try again.  maximum pending requests exceeded", Kind.SERVER_ERROR),
        ("The model is overloaded", Kind.LOADING),
        ("This model is currently experiencing high demand.", Kind.LOADING),
        ("model requires more system memory (2.7 GiB) than is available (2.3 GiB)", Kind.LOADING),
    ],
)
def test_a_5xx_is_the_models_only_if_it_names_it(words: str, kind: Kind) -> None:
    assert classify(503, [], error(message=words), NOW).kind is kind


BALANCE = "Your account balance is insufficient"
SHAPES: list[object] = [
    BALANCE,
    {"error": BALANCE},
    {"error": [BALANCE]},
    {"error": {"message": BALANCE}},
    {"error": {"message": {"detail": BALANCE}}},
    {"error": {"error": {"message": BALANCE}}},
    {"error": {"errors": [{"message": BALANCE, "reason": "x"}]}},
    {"error": {"innererror": {"message": BALANCE}}},
    {"error": {"metadata": {"raw": {"message": BALANCE}}}},
    {"error": {"msg": BALANCE}},
    {"error": "forbidden", "error_description": BALANCE},
    {"errors": [BALANCE]},
    {"errors": [{"status": "403", "title": "Forbidden", "detail": BALANCE}]},
    {"message": BALANCE},
    {"message": [BALANCE]},
    {"Message": BALANCE, "__type": "X"},
    {"detail": BALANCE},
    {"detail": {"message": BALANCE}},
    {"detail": {"error": {"message": BALANCE}}},
    {"title": "Forbidden", "detail": BALANCE},
    {"code": 1, "msg": BALANCE},
    {"error_code": 4, "error_msg": BALANCE},
    {"errorType": "X", "errorMessage": BALANCE},
    {"status": {"code": "1", "message": BALANCE}},
    {"header": {"code": 11200, "message": BALANCE}},
    {"base_resp": {"status_code": 4, "status_msg": BALANCE}},
    {"output": {"code": "x", "message": BALANCE}},
    {"fault": {"faultstring": BALANCE, "detail": {"errorcode": "x"}}},
    {"Error": {"Code": "X", "Message": BALANCE}},
    {"Response": {"Error": {"Code": "X", "Message": BALANCE}}},
    {"ResponseMetadata": {"Error": {"Code": "X", "Message": BALANCE}}},
    {"response": {"error": {"message": BALANCE}}},
    [{"error": {"message": BALANCE}}],
    *({name: {"message": BALANCE}} for name in ("data", "exception", "failure", "problem", "ResponseStatus", "meta")),
    *({name: {"error": {"message": BALANCE}}} for name in ("data", "result", "meta")),
    *({name: BALANCE} for name in ("return_msg", "developerMessage", "resultMessage", "moreInformation", "statusText")),
    {"message": "no", "subcode": "INSUFFICIENT_BALANCE"},
    {"error": {"slug": "insufficient-balance", "message": "no"}},
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: msgspec.json.encode(shape).decode().replace(BALANCE, "…"))
def test_an_error_is_found_in_any_shape(shape: object) -> None:
    assert classify(403, [], msgspec.json.encode(shape), NOW).kind is Kind.QUOTA


@pytest.mark.parametrize(
    "text",
    [
        BALANCE,
        f'event: error\ndata: {{"message": "{BALANCE}"}}\n\n',
        f"<E><Message>{BALANCE}</Message></E>",
        f"<e:fault><faultcode>x</faultcode><e:faultstring lang='en'> {BALANCE}\n</e:faultstring></e:fault>",
    ],
)
def test_an_error_is_found_in_text_in_an_event_and_in_xml(text: str) -> None:
    assert classify(403, [], text.encode(), NOW).kind is Kind.QUOTA


def test_only_500_and_502_may_be_tried_again_at_the_same_target() -> None:
    again = [status for status in range(100, 600) if classify(status, [], b"", NOW).same_target]
    assert again == [500, 502]


def test_a_request_that_was_withheld_says_nothing_of_its_provider() -> None:
    assert network(Failure.WITHHELD, True).kind is Kind.WITHHELD


def test_what_this_machine_lacks_says_nothing_of_the_provider() -> None:
    assert network(Failure.LOCAL, True, "too many open files").kind is Kind.LOCAL


@pytest.mark.parametrize(
    "failure", [failure for failure in Failure if failure not in (Failure.WITHHELD, Failure.LOCAL)]
)
@pytest.mark.parametrize("before_response", [True, False])
def test_a_reset_or_eof_may_be_tried_again_only_before_any_response_byte(
    failure: Failure, before_response: bool
) -> None:
    outcome = network(failure, before_response)
    assert outcome.kind is Kind.NETWORK
    assert outcome.same_target == (before_response and failure in {Failure.RESET, Failure.EOF})


def test_a_network_detail_is_shown_short_and_printable() -> None:
    assert network(Failure.TLS, True, "certificate\nexpired é").reason == "TLS failed: certificate?expired ?"
    assert len(network(Failure.TLS, True, "x" * 1000).reason) < 120


def test_retry_after_of_a_5xx_is_kept_but_not_its_other_hints() -> None:
    assert classify(503, [(b"retry-after", b"7")], b"", NOW).retry_after == 7.0
    limits = [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"9s")]
    assert classify(503, limits, b"try again in 3s", NOW).retry_after is None
    assert classify(429, limits, b"try again in 3s", NOW).retry_after == 9.0


def test_a_model_that_is_not_ready_may_say_when_it_will_be() -> None:
    loading = error(message="The model is loading, try again in 3s")
    assert classify(503, [], loading, NOW).retry_after == 3.0
    assert classify(503, [(b"retry-after", b"7")], loading, NOW).retry_after == 7.0


def test_a_request_that_does_not_fit_gets_no_hint() -> None:
    assert classify(413, [(b"retry-after", b"7")], b"", NOW).retry_after is None
    assert classify(429, [(b"retry-after", b"7")], OPENAI_TOO_LARGE, NOW).retry_after is None


def test_only_a_deadline_decides_case_by_case_whether_it_counts() -> None:
    assert not Outcome(Kind.DEADLINE, "out of time").is_failure
    assert Outcome(Kind.DEADLINE, "out of time", counts=True).is_failure
    assert Outcome(Kind.TIMEOUT, "silent").is_failure
    assert not Outcome(Kind.CLIENT_ERROR, "HTTP 400").is_failure


@pytest.mark.parametrize("code", ["has spaces", "x" * 65, "käse", "a\nb", "", {"a": 1}, ["x"], True, None, 1.5])
def test_what_does_not_look_like_a_code_is_not_kept(code: object) -> None:
    assert classify(400, [], error(code=code), NOW).code is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_kept_when_the_provider_quotes_it_as_a_code(status: int) -> None:
    assert classify(status, [], error(code="sk-proj-aB3xY"), NOW).code is None
    assert classify(status, [], error(code="invalid_api_key"), NOW).code == "invalid_api_key"
    assert classify(status, [], error(code=401), NOW).code == "401"


def test_a_reason_never_holds_the_providers_words() -> None:
    for status in range(400, 600):
        assert "secret" not in classify(status, [], error(message="secret", code="secret x"), NOW).reason


@given(st.binary(max_size=200), st.integers(100, 999))
def test_any_body_at_all_is_classified(body: bytes, status: int) -> None:
    assert classify(status, [], body, NOW).kind in RULES


FIELDS = st.sampled_from(["error", "code", "type", "status", "message", "metadata", "headers", "x-ratelimit-reset"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@given(JSON, st.sampled_from([400, 401, 429, 503]))
def test_an_error_body_of_any_shape_is_classified(body: object, status: int) -> None:
    data = msgspec.json.encode(body)
    for end in range(len(data) + 1):
        code = classify(status, [], data[:end], NOW).code
        assert code is None or (len(code) <= 64 and code.isascii() and code.isprintable())


def test_half_an_emoji_in_an_error_hides_nothing() -> None:
    body = error(code="insufficient_quota", message="You exceeded your quota: 'Hi @'").replace(b"@", rb"\ud83d")
    assert classify(429, [], body, NOW).kind is Kind.QUOTA
    assert in_band(body, NOW).kind is Kind.QUOTA


def test_deep_nesting_is_no_error() -> None:
    assert classify(429, [], b'{"error":' + b"[" * 100_000, NOW).kind is Kind.RATE_LIMITED
    assert classify(429, [], b"[" * 100_000, NOW).kind is Kind.RATE_LIMITED


@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        (error(code=502, message="Provider returned error"), Kind.SERVER_ERROR, 502),
        (error(type="rate_limit_error"), Kind.RATE_LIMITED, 429),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Kind.SERVER_ERROR, 529),
        (error(code="context_length_exceeded"), Kind.CONTEXT_LENGTH, 400),
        (error(code="upstream_unavailable"), Kind.SERVER_ERROR, 503),
        (error(code="generation_timeout"), Kind.SERVER_ERROR, 504),
    ],
)
def test_an_error_in_an_answer_is_read_as_the_http_error_that_it_names(payload: bytes, kind: Kind, status: int) -> None:
    outcome = in_band(payload, NOW)
    assert (outcome.kind, outcome.status) == (kind, status)
    assert not outcome.same_target


OF_THE_REQUEST = (
    "invalid_prompt invalid_image invalid_image_format invalid_base64_image invalid_image_url invalid_image_mode"
    " image_too_large image_too_small image_parse_error image_file_too_large image_file_not_found empty_image_file"
    " unsupported_image_media_type failed_to_download_image image_content_policy_violation bio_policy"
    " misalignment_policy_violation"
)
"""Of the codes of a failed response (https://platform.openai.com/docs/api-reference/responses/object)."""


@pytest.mark.parametrize("code", OF_THE_REQUEST.split())
def test_what_a_response_failed_with_for_what_its_request_brought_is_the_client_s(code: str) -> None:
    """These come without a type: else a client could mark each provider by a picture that is none."""
    outcome = in_band(error(code=code, message="No."), NOW)
    rule = RULES[outcome.kind]
    assert (outcome.status, rule.cause, rule.failover) == (400, Cause.CLIENT, False)


def test_a_store_that_is_too_slow_is_its_provider_s() -> None:
    outcome = in_band(error(code="vector_store_timeout", message="No."), NOW)
    assert (outcome.status, outcome.kind) == (504, Kind.SERVER_ERROR)


@pytest.mark.parametrize("payload", [b"", b"{}", error(message="?"), error(code=200), error(code="odd"), b"[" * 10_000])
def test_an_error_in_an_answer_that_names_none_is_a_bad_answer(payload: bytes) -> None:
    outcome = in_band(payload, NOW, "an error in the stream")
    assert (outcome.kind, outcome.reason, outcome.status) == (Kind.BAD_ANSWER, "an error in the stream", None)
