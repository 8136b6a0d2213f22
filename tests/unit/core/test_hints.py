"""Rate-limit hints: every form is read, junk is none, and nothing is over an hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.reading.hints import Headers, predictive, retry_after_header, seconds
from oxllm.core.reading.outcome import Kind, classify

NOW = datetime(2025, 6, 15, 12, 0, 0, tzinfo=UTC).timestamp()


def retry_after(headers: Headers, body: bytes, now_wall: float) -> float | None:
    """The hint of a 429."""
    found = classify(429, headers, body, now_wall)
    assert found.kind is Kind.RATE_LIMITED
    return found.retry_after


VALUES: list[tuple[bytes, float | None]] = [
    (b"7", 7.0),
    (b" 7 ", 7.0),
    (b"18.642", 18.642),
    (b".5", 0.5),
    (b"5.", 5.0),
    (b"86400", 86400.0),
    (b"120ms", 0.12),
    (b"6m0s", 360.0),
    (b"1h2m3.5s", 3723.5),
    (b"1d", 86400.0),
    (b"250us", 0.00025),
    ("250µs".encode(), 0.00025),
    (b"%d" % (NOW + 30), 30.0),
    (b"%d" % ((NOW + 30) * 1000), 30.0),
    (b"PT30S", 30.0),
    (b"PT1M30.5S", 90.5),
    (b"P1DT1H", 90_000.0),
    (b"pt45s", 45.0),
    (b"P", None),
    (b"PT", None),
    (b"PT0S", None),
    (b"P1M", None),
    (b"P-1D", None),
    (b"2025-06-15T12:00:30Z", 30.0),
    (b"2025-06-15t12:00:30.5z", 30.5),
    (b"2025-06-15 14:00:30+02:00", 30.0),
    (b"Sun, 15 Jun 2025 12:00:30 GMT", 30.0),
    (b"Sunday, 15-Jun-25 12:00:30 GMT", 30.0),
    (b"Sun Jun 15 12:00:30 2025", 30.0),
    (b"Thu Jul  3 12:00:00 2025", 18 * 86400.0),
    (b"Sun, 15 Jun 2025 12:00:60 GMT", 59.0),
    (b"0", None),
    (b"-1", None),
    (b"-5.5", None),
    (b"nan", None),
    (b"inf", None),
    (b"Infinity", None),
    (b"1e5", None),
    (b"0x10", None),
    (b"1_000", None),
    ("٣".encode(), None),
    (b"", None),
    (b"soon", None),
    (b"5 s", None),
    (b"ms", None),
    (b"0s", None),
    (b"%d" % (NOW - 30), None),
    (b"%d" % ((NOW - 30) * 1000), None),
    (b"2025-06-15T11:59:30Z", None),
    (b"2025-06-15T12:00:30", None),
    (b"2025-13-45T12:00:30Z", None),
    (b"0001-01-01T00:00:00+23:59", None),
    (b"Sun, 15 Jun 2025 11:59:30 GMT", None),
    (b"Sun, 31 Jun 2025 12:00:30 GMT", None),
    (b"Sun, 15 Jux 2025 12:00:30 GMT", None),
    (b"Sun, 15 Jun 2025 25:00:30 GMT", None),
    (b"Sunday, 15-Jun-80 12:00:30 GMT", None),
]


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_each_form_of_a_moment_is_read_and_junk_is_not(value: bytes, expected: float | None) -> None:
    found = seconds(value, NOW)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("value", [b"3601", b"86400", b"9" * 400, b"24h", b"2031-01-01T00:00:00Z", b"9999999999999999"])
def test_an_absurd_hint_is_an_hour(value: bytes) -> None:
    assert retry_after([(b"retry-after", value)], b"", NOW) == 3600.0


REMAINING = (b"x-ratelimit-remaining-tokens", b"0")
RESET = (b"x-ratelimit-reset-tokens", b"30s")
BODY = b'{"error":{"message":"Please try again in 40s."}}'


def test_milliseconds_go_before_seconds_before_limit_headers_before_the_body() -> None:
    everything: list[tuple[bytes, bytes]] = [REMAINING, RESET, (b"retry-after", b"20"), (b"retry-after-ms", b"10000")]
    assert [retry_after(everything[:count], BODY, NOW) for count in (4, 3, 2, 1)] == [10.0, 20.0, 30.0, 40.0]


@pytest.mark.parametrize("name", [b"x-retry-after", b"x-ratelimit-retry-after", b"x-amz-retry-after"])
@pytest.mark.parametrize("value", [b"30", b"30 seconds", b"30s", b"30 sec"])
def test_a_gateways_own_name_for_the_header_is_read(name: bytes, value: bytes) -> None:
    assert retry_after([(name, value)], b"", NOW) == 30.0
    assert retry_after([(name + b"-ms", b"2500"), (name, value)], b"", NOW) == 2.5


def test_junk_in_one_place_leaves_the_word_to_the_next() -> None:
    fields = [(b"retry-after-ms", b"-3"), (b"retry-after", b"soon"), REMAINING, RESET]
    assert retry_after(fields, BODY, NOW) == 30.0
    assert retry_after([*fields[:3], (RESET[0], b"0")], BODY, NOW) == 40.0


def test_only_a_dimension_that_is_used_up_gives_its_reset() -> None:
    left = (b"x-ratelimit-remaining-requests", b"5"), (b"x-ratelimit-reset-requests", b"50s")
    assert retry_after([*left, REMAINING, RESET], b"", NOW) == 30.0
    assert retry_after(left, b"", NOW) is None


def test_of_two_used_up_dimensions_the_later_reset_holds() -> None:
    other = (b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"50s")
    assert retry_after([*other, REMAINING, RESET], b"", NOW) == 50.0


@pytest.mark.parametrize("remaining", [b"-1", b"", b"none", b"0.5", b"1"])
def test_azures_odd_remaining_is_not_zero(remaining: bytes) -> None:
    assert retry_after([(REMAINING[0], remaining), RESET], b"", NOW) is None


def test_anthropics_headers_are_read_too() -> None:
    fields = [
        (b"anthropic-ratelimit-input-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-input-tokens-reset", b"2025-06-15T12:00:09Z"),
        (b"anthropic-ratelimit-requests-remaining", b"9"),
        (b"anthropic-ratelimit-requests-reset", b"2025-06-15T12:00:59Z"),
    ]
    assert retry_after(fields, b"", NOW) == 9.0
    assert predictive(fields, NOW) == 9.0


def test_a_bucket_that_fills_all_the_time_is_waited_for_a_minute_at_most() -> None:
    fields = [
        (b"anthropic-ratelimit-tokens-remaining", b"0"),
        (b"anthropic-ratelimit-tokens-reset", b"2025-06-15T12:04:00Z"),
    ]
    assert retry_after(fields, b"", NOW) == 60.0
    assert predictive(fields, NOW) is None
    longer = [(b"x-ratelimit-remaining-tokens", b"0"), (b"x-ratelimit-reset-tokens", b"4m0s")]
    assert retry_after([*fields, *longer], b"", NOW) == 240.0


def test_limit_headers_without_a_dimension_are_read() -> None:
    fields = [(b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"%d" % (NOW + 5))]
    assert retry_after(fields, b"", NOW) == 5.0


FIELDS: list[tuple[list[tuple[bytes, bytes]], float | None]] = [
    ([(b"ratelimit-remaining", b"0"), (b"ratelimit-reset", b"23")], 23.0),  # Kong; drafts up to 06
    ([(b"ratelimit-remaining", b"0"), (b"ratelimit-reset", b"%d" % (NOW + 23))], 23.0),
    ([(b"ratelimit-remaining", b"4"), (b"ratelimit-reset", b"23")], None),
    ([(b"ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"23")], None),
    ([(b"ratelimitbysize-remaining", b"0"), (b"ratelimitbysize-reset", b"28")], 28.0),  # Mistral
    ([(b"x-ratelimitbysize-remaining-minute", b"0"), (b"ratelimitbysize-reset", b"28")], None),
    ([(b"ratelimit", b'"resolvers";r=0;t=42')], 42.0),  # Hugging Face; from draft 08 on
    ([(b"ratelimit", b'"resolvers"; r=0; t=42; pk=:cGs=:')], 42.0),
    ([(b"ratelimit", b'"burst";r=3;t=9, "day";r=0;t=50,"app";r=0;t=1')], 50.0),
    ([(b"ratelimit", b'"burst";r=3;t=9'), (b"ratelimit", b'"app";r=0;t=7')], 7.0),
    ([(b"ratelimit", b"limit=100, remaining=0, reset=50")], 50.0),  # draft 07
    ([(b"ratelimit", b"remaining=0, reset=50, limit=100")], 50.0),
    ([(b"ratelimit", b"limit=100, remaining=9, reset=50")], None),
    ([(b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset-after", b"23")], 23.0),
    ([(b"x-ratelimit-remaining", b"1"), (b"x-ratelimit-reset-after", b"23")], None),
    ([(b"ratelimit", b'"resolvers";r=3;t=42')], None),
    ([(b"ratelimit", b'"resolvers";r=0')], None),
    ([(b"ratelimit", b'"resolvers";r=0;t=0')], None),
    ([(b"ratelimit", b'"resolvers";r=0.5;t=42')], None),
    ([(b"ratelimit", b'"a;r=0;t=42"')], None),
    ([(b"ratelimit", b"0")], None),
    ([(b"ratelimit-policy", b'"resolvers";q=100;w=60')], None),
]


@pytest.mark.parametrize(("fields", "expected"), FIELDS)
def test_the_fields_that_a_draft_standard_names_are_read(
    fields: list[tuple[bytes, bytes]], expected: float | None
) -> None:
    assert retry_after(fields, b"", NOW) == expected
    assert predictive(fields, NOW) == expected


PROSE: list[tuple[bytes, float | None]] = [
    (b"Please try again in 18.642s.", 18.642),
    (b"Please try again in 6ms. Visit", 0.006),
    (b"Please try again in 7m12s. Visit", 432.0),
    (b"Please try again in 1h2m3s", 3600.0),
    (b"Please retry after 86400 seconds.", 3600.0),
    (b"Please retry after 1 second.", 1.0),
    (b"try again in 5 minutes", 300.0),
    (b"You can make another request in 8 seconds.", 8.0),
    (b"Next request is possible in 12s", 12.0),
    (b"try again in 5min", 300.0),
    (b"Try Again In 500 milliseconds", 0.5),
    (b"retry in 2 hours", 3600.0),
    (b'{"error":{"details":[{"retryDelay": "52s"}]}}', 52.0),
    (b'[{"error":{"details":[{"retryDelay":"0.5s"}]}}]', 0.5),
    (b'{"error":{"message":"{\\"error\\":{\\"details\\":[{\\"retryDelay\\": \\"52s\\"}]}}"}}', 52.0),
    (b'{"error":{"retry_after_ms": 1500}}', 1.5),
    (b'{"error":{"message":"busy","estimated_time":20.5}}', 20.5),
    (b'{"error":{"resets_in_seconds":"77"}}', 77.0),
    (b"try again in 9m38.4s", 578.4),
    (b"Please wait for 30 seconds before retrying", 30.0),
    (b"Your quota will reset after 1h2m", 3600.0),
    (b"Quota will be replenished in 00:12:05", 725.0),
    (b"Retry in 2 minutes and 5 seconds", 125.0),
    (b"Retry after: 3.5s", 3.5),
    (b"Slow down. Retry after: 12", 12.0),
    (b"Too many requests (retry after 12).", 12.0),
    (b"retry_after=7, limit=20", 7.0),
    (b"Retry-After: 30\nToo many requests", 30.0),
    (b"rate limited, Retry-After=2.5", 2.5),
    (b"Please retry after 2 attempts", None),
    (b"retry after 12:30", None),
    (b"retry after 2026-01-01", None),
    (b"retry after 1.5.2", None),
    (b"retry after: 12%", None),
    (b"retry-after: 1736900000000", None),
    (b"retry_after_ms=1500", None),
    (b"retry after: soon", None),
    ("请在 20 秒后重试".encode(), 20.0),
    ("请1分钟之后再试".encode(), 60.0),
    ("请稍后再试".encode(), None),
    ("30分後に再試行してください".encode(), 1800.0),
    ("請在 5 分鐘後重試".encode(), 300.0),
    ("20초 후에 다시 시도하세요".encode(), 20.0),
    ("Повторите через 45 секунд".encode(), 45.0),
    ("Через 45 секунд".encode(), 45.0),
    ("45 секунд".encode(), None),
    (b"Try again in PT1M30S.", 90.0),
    (b"Please try your request again in 12 seconds", 12.0),
    (b"retryAfter=20s", 20.0),
    (b"The limit will be lifted in 40 seconds", 40.0),
    (b"Requests are allowed again in 40 seconds", 40.0),
    (b"Your quota replenishes in 40 seconds", 40.0),
    (b"You will be able to send requests again in 40 seconds", 40.0),
    (b"Throttled for the next 30 seconds", 30.0),
    (b"try again after 2025-06-15 12:05:00 UTC", 300.0),
    (b"please wait one minute", 60.0),
    (b"After 30 seconds you may try again", 30.0),
    (b"In 1 minute and 30 seconds, please retry", 90.0),
    (b"It took 30 seconds, please retry", None),
    (b"This happens in 30 seconds of audio", None),
    ("请等待 30 秒".encode(), 30.0),
    ("30秒待ってから再試行してください".encode(), 30.0),
    ("30초 뒤에 다시 시도하세요".encode(), 30.0),
    ("Подождите 2 минуты".encode(), 120.0),
    (b"Bitte warten Sie 30 Sekunden", 30.0),
    ("Réessayez après 30 secondes".encode(), 30.0),
    (b"Espere 30 segundos", 30.0),
    (b"Aguarde 30 segundos", 30.0),
    (b"Attendi 30 secondi", 30.0),
    (b"Please retry after PT20S", 20.0),
    (b"Please retry after P2 or P3", None),
    (b'{"error":{"message":"busy","retry_after":"PT45S"}}', 45.0),
    (b'[{"error":{"details":[{"retryDelay":"PT30S"}]}}]', 30.0),
    (b"try again in an hour", 3600.0),
    (b"Please try again in a minute.", 60.0),
    (b"Please try again later in 30 seconds", 30.0),
    (b"Your limit resets at 2025-06-15T12:05:00Z", 300.0),
    (b"try again at 2025-06-15T12:00:20+00:00", 20.0),
    (b"try again at 2025-06-15T11:00:20Z", None),
    (b"resets at 2025-06-15 12:05:00", None),
    (b"Come back in 20 seconds", 20.0),
    (b"Try again later (20 seconds)", 20.0),
    (b"You must wait 20 more seconds", 20.0),
    (b"Please wait for approximately 1 minute, 10 seconds", 70.0),
    (b"The next request can be sent in 20 seconds", 20.0),
    (b"Requests will be accepted again in 20 seconds", 20.0),
    (b"Cooldown remaining: 20s", 20.0),
    (b"Cooling down for 20s", 20.0),
    (b"backoff: 20s", 20.0),
    (b"Recommended retry delay: 20s", 20.0),
    (b"Reset time: 20s", 20.0),
    (b"You are rate limited for 20 seconds", 20.0),
    (b"Limited to 20 seconds of audio", None),
    (b"blocked after 20 seconds", None),
    (b"Limits: 10 requests per 20 seconds", None),
    (b"Timeout after 20 seconds", None),
    (b"Your limit resets at 1749988820", 20.0),
    (b"Your limit resets at 1749988820500", 20.5),
    (b"429 quota exceeded [retry_delay {\n  seconds: 38\n}\n]", 38.0),
    (b"Tente novamente em 17 segundos", 17.0),
    ("Inténtelo de nuevo en 2 minutos".encode(), 120.0),
    ("Veuillez réessayer dans 17 secondes".encode(), 17.0),
    (b"Riprova tra 1 ora", 3600.0),
    (b"Bitte in 30 Sekunden erneut versuchen", 30.0),
    (b"Bitte in 2 Stunden erneut versuchen", 3600.0),
    (b"Bitte in 0 Sekunden erneut versuchen", None),
    (b"en 2 idiomas", None),
    (b"try again in 0s", None),
    (b"try again in a moment", None),
    (b"try again later", None),
    (b"try again in 5 apples", None),
    (b"try again in 5 stones", None),
    (b"try again in 5small", None),
]


@pytest.mark.parametrize(("text", "expected"), PROSE)
def test_prose_is_read(text: bytes, expected: float | None) -> None:
    assert retry_after([], text, NOW) == (None if expected is None else pytest.approx(expected))


def test_prose_is_looked_for_in_the_start_of_a_body_only() -> None:
    assert retry_after([], b" " * 65536 + b"try again in 5s", NOW) is None


def test_openrouters_headers_in_the_body_go_before_its_prose() -> None:
    body = (
        b'{"error":{"message":"try again in 5s","metadata":{"headers":'
        b'{"X-RateLimit-Remaining":0,"X-RateLimit-Reset":"%d"}}}}' % ((NOW + 30) * 1000)
    )
    assert retry_after([], body, NOW) == 30.0


@pytest.mark.parametrize(
    "name",
    [
        *("resets_in", "retry_in_seconds", "resetAfter", "wait_seconds", "cooldown_seconds"),
        *("reset_after_seconds", "wait_time", "cooldown", "retry_after_s", "reset", "try_again_in", "available_in"),
        *("backoff", "backoff_seconds", "seconds_until_reset", "time_to_reset"),
    ],
)
def test_a_wait_may_have_many_names(name: str) -> None:
    assert retry_after([], b'{"error":{"message":"x","%s":19}}' % name.encode(), NOW) == 19.0
    assert retry_after([], b'{"error":{"message":"x","metadata":{"%s":"19s"}}}' % name.encode(), NOW) == 19.0


@pytest.mark.parametrize("around", ["data", "extra", "limits", "rate_limit", "rateLimitInfo", "retry_info", "quota"])
def test_a_wait_may_be_in_an_object_of_its_own(around: str) -> None:
    assert retry_after([], b'{"error":{"message":"x"},"%s":{"retry_after":19}}' % around.encode(), NOW) == 19.0
    assert retry_after([], b'{"error":{"message":"x","%s":{"reset_in":19}}}' % around.encode(), NOW) == 19.0


def test_googles_duration_may_be_an_object() -> None:
    assert retry_after([], b'{"error":{"message":"x","retry_delay":{"seconds":38}}}', NOW) == 38.0
    assert retry_after([], b'{"error":{"message":"x","retry_delay":{}}}', NOW) is None


@pytest.mark.parametrize("name", ["expires_in", "ttl", "waiters", "reset_count", "limit", "retry"])
def test_other_members_say_nothing_of_a_wait(name: str) -> None:
    assert retry_after([], b'{"error":{"message":"x","%s":19,"data":{"%s":19}}}' % ((name.encode(),) * 2), NOW) is None


def test_of_two_waits_the_first_counts() -> None:
    assert retry_after([], b'{"error":{"message":"x","retry_after":5,"resets_in_seconds":60}}', NOW) == 5.0
    assert retry_after([], b'{"error":{"message":"x","resets_in_seconds":60,"retry_after":5}}', NOW) == 60.0


def test_a_5xx_is_asked_for_its_retry_after_alone() -> None:
    assert retry_after_header([REMAINING, RESET, (b"retry-after", b"90000")], NOW) == 3600.0
    assert retry_after_header([REMAINING, RESET], NOW) is None


def test_prediction_needs_a_limit_that_is_used_up() -> None:
    assert predictive([], NOW) is None
    assert predictive([(b"content-type", b"text/plain")], NOW) is None
    assert predictive([(REMAINING[0], b"1"), RESET], NOW) is None
    assert predictive([REMAINING], NOW) is None
    assert predictive([REMAINING, (RESET[0], b"soon")], NOW) is None
    assert predictive([REMAINING, RESET], NOW) == 30.0


def test_a_limits_name_may_have_a_hyphen_more() -> None:
    assert retry_after([(b"x-rate-limit-remaining", b"0"), (b"x-rate-limit-reset", b"11")], b"", NOW) == 11.0


@pytest.mark.parametrize(("reset", "expected"), [(b"59.9s", 59.9), (b"60s", 60.0), (b"60.001s", None), (b"24h", None)])
def test_prediction_reaches_sixty_seconds(reset: bytes, expected: float | None) -> None:
    assert predictive([REMAINING, (RESET[0], reset)], NOW) == expected


def test_a_daily_limit_does_not_hide_one_that_resets_soon() -> None:
    daily = (b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"20h")
    assert predictive([*daily, REMAINING, RESET], NOW) == 30.0


@given(st.integers(1, 3600 * 1000))
def test_a_go_duration_means_what_go_means(total_ms: int) -> None:
    hours, rest = divmod(total_ms, 3600_000)
    minutes, rest = divmod(rest, 60_000)
    whole, ms = divmod(rest, 1000)
    for text in (f"{hours}h{minutes}m{whole}.{ms:03}s", f"{hours}h{minutes}m{whole}s{ms}ms", f"{total_ms}ms"):
        assert seconds(text.encode(), NOW) == pytest.approx(total_ms / 1000)


@given(st.integers(1, 40 * 365 * 86400))
def test_every_spelling_of_a_date_is_the_same_moment(ahead: int) -> None:
    moment = datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=ahead)
    spellings = [
        format_datetime(moment, usegmt=True),
        moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S %Y}",
        moment.isoformat(),
        str(int(moment.timestamp())),
        str(int(moment.timestamp() * 1000)),
    ]
    assert {seconds(text.encode(), NOW) for text in spellings} == {float(ahead)}


NAMES = st.sampled_from(
    [
        b"retry-after",
        b"retry-after-ms",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
        b"x-ratelimit-remaining-tokens",
        b"x-ratelimit-reset-tokens",
        b"ratelimit",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"anthropic-ratelimit-tokens-remaining",
        b"anthropic-ratelimit-tokens-reset",
    ]
)
SCRAPS = st.lists(st.sampled_from([value for value, _ in VALUES]) | st.binary(max_size=4), max_size=3).map(b"".join)


@given(st.lists(st.tuples(NAMES, SCRAPS), max_size=6), st.lists(SCRAPS | st.sampled_from([t for t, _ in PROSE])))
def test_a_hint_is_none_or_more_than_nothing_and_at_most_an_hour(headers: Headers, body: list[bytes]) -> None:
    found = classify(429, headers, b"".join(body), NOW)  # out of quota, if two pieces of prose say so together
    for hint in (found.retry_after, retry_after_header(headers, NOW)):
        assert hint is None or 0 < hint <= 3600
    wait = predictive(headers, NOW)
    assert wait is None or 0 < wait <= 60


ZEROS = st.sampled_from([b"0", b"00", b" 0 ", b"0.", b".0", b"0.00", b"0x", b"", b" ", b"10", b"1", b"-0", b"none"])
LIMITS = st.sampled_from(
    [b"x-ratelimit-%b", b"x-ratelimit-%b-tokens", b"anthropic-ratelimit-tokens-%b", b"x-%b", b"ratelimit-%b"]
)
STANDARD = st.builds(
    lambda left, wait: (b"ratelimit%b", b"", b'"a";r=%d;t=%d, "b";r=0;t=%d' % (left, wait, wait // 2)),
    st.integers(0, 1),
    st.integers(0, 60),
)
fields = STANDARD | st.tuples(LIMITS, st.sampled_from([b"remaining", b"reset"]), ZEROS | st.just(b"30"))


@given(st.lists(fields, max_size=6))
def test_a_success_says_the_same_of_its_limits_as_an_error_would(told: list[tuple[bytes, bytes, bytes]]) -> None:
    """But for waits over a minute, which a success does not ask for."""
    headers = [(name % what, value) for name, what, value in told]
    assert predictive(headers, NOW) == retry_after(headers, b"", NOW)


@pytest.mark.parametrize("ours", [-3600, -5, -1, 0, 1, 5, 86400])
def test_a_date_is_compared_with_the_clock_of_who_wrote_it(ours: int) -> None:
    """Where this machine's clock is wrong, or theirs is."""
    fields = [(b"date", b"Sun, 15 Jun 2025 12:00:00 GMT"), (b"retry-after", b"Sun, 15 Jun 2025 12:00:15 GMT")]
    slack = 1 if abs(ours) == 1 else 0  # a date has whole seconds: so small a difference is none
    assert retry_after(fields, b"", NOW + ours) == pytest.approx(15.0, abs=slack)
    assert classify(503, fields, b"", NOW + ours).retry_after == pytest.approx(15.0, abs=slack)
    spent = [fields[0], REMAINING, (RESET[0], b"%d" % (NOW + 15))]
    assert predictive(spent, NOW + ours) == pytest.approx(15.0, abs=slack)
    words = b"Rate limit reached, resets at 2025-06-15T12:00:15Z"
    assert retry_after(fields[:1], words, NOW + ours) == pytest.approx(15.0, abs=slack)


def test_a_date_of_a_stored_answer_is_as_old_as_it_says() -> None:
    fields = [(b"date", b"Sun, 15 Jun 2025 12:00:00 GMT"), (b"retry-after", b"Sun, 15 Jun 2025 12:00:40 GMT")]
    assert retry_after([*fields, (b"age", b"30")], b"", NOW + 3600) == 10.0
    assert retry_after([*fields, (b"age", b"old")], b"", NOW + 3600) == 40.0


def test_an_unreadable_date_is_none() -> None:
    fields = [(b"date", b"yesterday"), (b"retry-after", b"Sun, 15 Jun 2025 12:00:15 GMT")]
    assert retry_after(fields, b"", NOW) == 15.0
