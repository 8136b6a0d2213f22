"""Families of sentences: each noun with each verb, in English, and whole sentences in other languages. What a provider
was never heard to say is read like what others say."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from oxllm.core.reading.outcome import RULES, Effect, Kind, classify, in_band
from tests.support.corpus import DATA

NOW = 1_700_000_000.0


def read(status: int, words: str) -> Kind:
    return classify(status, [], msgspec.json.encode({"error": {"message": words}}), NOW).kind


def misread(statuses: list[int], nouns: str, verbs: str, kinds: set[Kind]) -> list[str]:
    """The sentences, each noun with each verb, that are not read as one of `kinds`."""
    said = [
        f"{noun} {verb}" for noun, verb in product(*(" ".join(words.split()).split(" | ") for words in (nouns, verbs)))
    ]
    return [words for words in said for status in statuses if read(status, words) not in kinds]


FAMILIES: dict[str, tuple[list[int], str, str, set[Kind]]] = {
    "money": (
        [400, 403],
        """Your account balance | Credits | The credit balance | Your wallet | Prepaid funds | Your token quota |
        Free credits | Your plan allowance | The monthly quota""",
        """exhausted | has been used up | ran out | has run dry | is depleted | is empty | is insufficient | is
        too low | is at zero | went negative | is spent | are gone | has been consumed in full | was exceeded
        | is not enough | is below zero | does not cover this request | is drained | has dried up | was burned
        through""",
        {Kind.QUOTA},
    ),
    "nothing left": (
        [400, 403],
        "You have no | There are no usable | No remaining | You do not have any",
        "credits | balance | funds on this account | quota | credit left",
        {Kind.QUOTA},
    ),
    "periods": (
        [403, 429],
        """Monthly limit | Daily request limit | Weekly usage limit | Token limit for this month | Requests for
        today | Monthly token allotment | Annual budget | Calls per day""",
        "reached | exceeded | hit | used up | exhausted | has been reached | consumed | surpassed",
        {Kind.QUOTA},
    ),
    "money is needed": (
        [403],
        "Please | You must first",
        "top up your balance | add credits | reload your wallet | refill your funds | replenish your account balance",
        {Kind.QUOTA},
    ),
    "keys": (
        [400],
        """API key | Access token | Authentication token | Bearer token | Your credentials | Secret key | Service
        token | Personal access token""",
        """is invalid | is not valid | was not recognized | was not recognised | is incorrect | is missing | is
        required | has expired | was revoked | is disabled | does not exist | could not be verified | was
        rejected | is malformed | is not authorised | is blocked | has been suspended | was deleted | was rotated |
        has lapsed | was cancelled | is locked | is frozen | was turned off | is no longer active | is out of date |
        cannot be used | has been compromised | was not accepted""",
        {Kind.AUTH},
    ),
    "keys by what only they can be": (
        [400],
        "Your key | The key | This token",
        "has expired | was revoked | is inactive | has been suspended | was leaked",
        {Kind.AUTH},
    ),
    "models": (
        [400, 404],
        """The model `foo-7b` | Model foo-7b | The requested model | foo/bar-7b model | Model ID foo | The
        deployment foo""",
        """does not exist | was not found | is not available | is not supported | is not deployed | was retired |
        has been discontinued | is no longer served | has reached end of life | is unknown | is unrecognised |
        is invalid | is not offered | is not accessible with your key | is not allowed for this key | is not
        included in your plan | requires access approval | is gated | is disabled | is not servable in this
        region | was sunset | is in private preview | is limited to enterprise customers | is reserved for paying users
        | has been withdrawn | was superseded by bar | is locked | is not visible to you | is only for subscribers |
        was dropped | is not part of your plan | is gone""",
        {Kind.MISSING},
    ),
    "no model": (
        [400, 404],
        "There is no | We have no | No",
        "model by that name | model foo-7b | deployment of this name",
        {Kind.MISSING},
    ),
    "models that nobody has": (
        [400],
        """Unrecognised | Requested provider foo not supported: | No such | Unknown | Please choose a valid | Not
        found:""",
        "model foo-7b",
        {Kind.MISSING},
    ),
    "paces": (
        [400, 403, 422],
        """Rate limit | The request rate | Requests per minute limit | TPM limit | Concurrency limit | QPS limit
        | The number of concurrent requests""",
        "exceeded | was exceeded | reached | hit | is too high | exhausted | surpassed",
        {Kind.RATE_LIMITED},
    ),
    "lengths": (
        [400, 422],
        """The prompt | Your input | Input length | The conversation | Total number of tokens | The combined
        prompt and completion length""",
        """is too long | exceeds the context window | exceeds the model's context length of 8192 tokens | is over
        the 8192 token limit | exceeds max_model_len (8192) | exceeds the supported length | is above the
        model limit of 8192 tokens | is larger than the context size | does not fit in the context window | does not
        fit into the model | is more than the model can take | goes past the model's context""",
        {Kind.CONTEXT_LENGTH},
    ),
    "what is lacking": (
        [400, 422],
        """Image input | Tools | Function calling | Streaming | JSON mode | Structured output | Audio input |
        Thinking | System messages | The parameter `top_k` | Web search | Photo input""",
        """is not supported | are not available for this model | is not implemented | cannot be used with this
        model | isn't supported by this deployment | is only available on larger models | is only offered on
        the pro model | is turned off for this model | is coming soon | requires a newer model | is missing from this
        model""",
        {Kind.UNSUPPORTED},
    ),
    "what a model does not do": (
        [400],
        "This model | The model | The selected model | This deployment | The endpoint",
        """does not support images | has no vision support | cannot process images | can't take pictures | is
        text-only | only accepts text | lacks tool support | does not accept image input | does not allow
        tool_choice | does not implement logprobs""",
        {Kind.UNSUPPORTED},
    ),
    "who is barred": (
        [400],
        "Your account | The organization | This organisation | Your workspace | Your project",
        """has been suspended | is disabled | is blocked | has been banned | is inactive | was closed | is frozen
        | has been flagged for abuse | is under review | is not allowed to use the API | was shut down | needs
        verification | is awaiting approval | has no API access""",
        {Kind.AUTH},
    ),
    "what a filter stops": (
        [400],
        "Your prompt | The request | The output | Your input | The response",
        """was blocked by our safety filter | violates our usage policy | was flagged by moderation | breaks our content
        rules | contains prohibited content | triggered the content filter | did not pass the safety check | was
        censored | was found to be unsafe | hit a guardrail""",
        {Kind.CONTENT_REFUSED},
    ),
    "models on their way": (
        [503],
        "The model | Model foo-7b | foo/bar model | The deployment",
        """is loading | is being loaded | is starting | is warming up | is booting | is cold | is being deployed
        | is overloaded | has no capacity | crashed | failed to load | is under heavy load | has no healthy
        replicas""",
        {Kind.LOADING},
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_each_noun_is_read_with_each_verb(name: str) -> None:
    assert misread(*FAMILIES[name]) == []


OF_A_REQUEST = """messages[0].content | The field `messages` | The parameter `temperature` | tool_call_id | The tool
result | The JSON schema | The image | metadata | stop sequences | role | The request body | The file
| The metadata key | seed | The schema property 'key' | logit_bias | The start date | date: day | The
user's model turn | The column credits | The variable api_key"""
FAULTS = """is required | is missing | is invalid | must not be empty | was not found | does not exist | is too
long | is unknown | is not allowed | must be a string | exceeds the maximum of 10 | was not provided |
is not recognized | is deprecated | is disabled | is over the limit | contains an unknown key | is too
low | has been used already | is locked | was removed | is gone | has lapsed | is out of date | cannot be
used | was not accepted | is coming soon | does not fit the schema | is limited to 10 items | is reserved"""
TOOLS = """Tool billing.pay | tools: rate_limiter | Function lookup_api_key | unknown tool list_models: | Tool
call daily_limit_checker: | Duplicate tool names: rate_limiter | Function names: load_model | tools:
model_selector"""


@pytest.mark.parametrize("nouns", [OF_A_REQUEST, TOOLS])
@pytest.mark.parametrize("status", [400, 422])
def test_the_same_verbs_of_something_in_a_request_mark_nobody(nouns: str, status: int) -> None:
    harmless = {kind for kind, rule in RULES.items() if rule.effect is Effect.NONE and not rule.breaker}
    assert misread([status], nouns, FAULTS, harmless) == []


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("min_tokens must not be greater than max_tokens=16, got 32.", Kind.CLIENT_ERROR),
        ("max_tokens must be greater than the thinking budget", Kind.CLIENT_ERROR),
        ("max_tokens or max_completion_tokens is less than budget_tokens", Kind.CLIENT_ERROR),
        ("max_tokens is too large: 65535. This model supports at most 16384 completion tokens", Kind.CONTEXT_LENGTH),
        ("min_tokens and the prompt exceed the context length of 8192 tokens", Kind.CONTEXT_LENGTH),
    ],
)
def test_numbers_of_a_request_that_disagree_are_no_length_of_a_model(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize("words", ["Response resp_68af was not found", "file-3xQ9 does not exist"])
def test_what_an_api_named_itself_was_left_at_another_provider(words: str) -> None:
    assert read(404, words) is Kind.FOREIGN_STATE
    body = {"error": {"message": words, "code": "model_not_found"}}  # a relay's code for any 404
    assert classify(404, [], msgspec.json.encode(body), NOW).kind is Kind.FOREIGN_STATE


@pytest.mark.parametrize(
    "words", ["The model foo is not supported with a personal account", "Model x-1 unsupported for this team"]
)
def test_a_model_that_an_account_does_not_have_bars_no_account(words: str) -> None:
    assert read(400, words) is Kind.MISSING


@pytest.mark.parametrize("words", ["'llama-9' isn't a model we serve", "foo is not a model that this API hosts"])
def test_what_a_provider_does_not_serve_it_does_not_have(words: str) -> None:
    assert read(400, words) is Kind.MISSING


@pytest.mark.parametrize("status", [402, 404, 405, 409, 410, 412, 417, 424, 429, 451, 498])
def test_a_rate_is_read_under_each_status_of_the_4xx(status: int) -> None:
    assert read(status, "Too many requests: the rate limit of 20 requests per minute was exceeded") is Kind.RATE_LIMITED


@pytest.mark.parametrize("words", ["Your account has been suspended", "This organization is disabled"])
def test_an_account_that_is_barred_is_read_without_a_status_too(words: str) -> None:
    assert in_band(msgspec.json.encode({"error": {"message": words}}), NOW).kind is Kind.AUTH


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("gpt-4o模型不存在", Kind.MISSING),
        ("模型gpt-4o不存在", Kind.MISSING),
        ("qwen2模型不存在", Kind.MISSING),
        ("模型vendor/qwen不存在", Kind.MISSING),
        ("モデルgpt-4oが見つかりません", Kind.MISSING),
        ("模型deepseek-v3余额不足", Kind.QUOTA),
        ("工具get_quota已失效", Kind.CLIENT_ERROR),
        ("文件check-credit-balance.md已失效", Kind.CLIENT_ERROR),
    ],
)
def test_a_name_ends_where_another_script_begins(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Request blocked: parameter 'reasoning' is not allowed", Kind.UNSUPPORTED),
        ("The field `metadata` is invalid", Kind.UNSUPPORTED),
        ("The API key in the field `Authorization` has expired", Kind.FORBIDDEN),
        ("Your account may not set this parameter: account suspended", Kind.FORBIDDEN),
        ("You may not call this endpoint", Kind.FORBIDDEN),
    ],
)
def test_a_403_about_the_form_of_a_request_takes_no_key_away(words: str, kind: Kind) -> None:
    assert read(403, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "code", "kind"),
    [
        (500, "", "response_time_exceeded", Kind.SERVER_ERROR),
        (400, "", "prompt_exceeded", Kind.CONTEXT_LENGTH),
        (503, "", "provider_not_configured", Kind.SERVER_ERROR),
        (400, "", "tools_not_supported", Kind.UNSUPPORTED),
    ],
)
def test_codes_are_read_by_the_same_families(status: int, words: str, code: str, kind: Kind) -> None:
    assert classify(status, [], msgspec.json.encode({"error": {"message": words, "code": code}}), NOW).kind is kind


def lines(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


OF_REQUESTS = lines("requests.tsv")


@pytest.mark.parametrize(("language", "nouns", "verbs"), OF_REQUESTS, ids=[line[0] for line in OF_REQUESTS])
def test_what_is_wrong_with_a_request_marks_nobody_in_other_languages(language: str, nouns: str, verbs: str) -> None:
    space = "" if language in ("zh", "ja", "ko") else " "
    said = [space.join(words) for words in product(nouns.split("|"), verbs.split("|"))]
    assert [
        words
        for words in said
        for rule in (RULES[read(400, words)], RULES[read(422, words)])
        if rule.effect is not Effect.NONE or rule.breaker
    ] == []


SENTENCES = lines("languages.tsv")


@pytest.mark.parametrize("language", sorted({line[0] for line in SENTENCES}))
def test_other_languages_are_read(language: str) -> None:
    found = [(status, words, kind, read(int(status), words)) for of, status, kind, words in SENTENCES if of == language]
    assert [
        (words, was.value)
        for _, words, kind, was in found
        if was.value != kind and {kind, was.value} != {"not ready", "server error"}
    ] == []
