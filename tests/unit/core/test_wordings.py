"""What errors say in other words: the same families of sentences, and their neighbours that say something else."""

from __future__ import annotations

import msgspec
import pytest

from oxllm.core.reading.outcome import Kind, classify, in_band

NOW = 1_700_000_000.0


def read(status: int, words: str, **members: object) -> Kind:
    return classify(status, [], msgspec.json.encode({"error": {"message": words, **members}}), NOW).kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "Model not found: gpt-9", Kind.MISSING),
        (400, "Deployment could not be found: prod", Kind.MISSING),
        (400, "Tool not found: insufficient_quota", Kind.CLIENT_ERROR),
        (400, "File was not found: your credit balance is too low.txt", Kind.CLIENT_ERROR),
        (400, "Expected a string, found: the model does not exist", Kind.CLIENT_ERROR),
    ],
)
def test_a_name_behind_not_found_is_not_read_but_what_was_not_found_is(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    "words",
    [
        "Please pass a valid API key",
        "You must provide a valid access token.",
        "Use a valid API key for this endpoint",
        "a valid API key is needed: please supply a valid API key",
        "Your developer key is no valid API key: API key not valid",
    ],
)
def test_who_asks_for_a_valid_key_refuses_the_one_that_was_sent(words: str) -> None:
    assert read(400, words) is Kind.AUTH


@pytest.mark.parametrize("words", ["Please provide a valid image", "Use a valid role", "Pass a valid JSON body"])
def test_who_asks_for_something_else_that_is_valid_means_the_request(words: str) -> None:
    assert read(400, words) is Kind.CLIENT_ERROR


@pytest.mark.parametrize("status", [400, 500, 503])
@pytest.mark.parametrize(
    "words",
    ["Model unloaded by user or API request.", "Operation canceled: the model was unloaded", "Model reloaded."],
)
def test_a_model_that_was_put_away_is_waited_for(status: int, words: str) -> None:
    assert read(status, words) is Kind.LOADING


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "Fair Usage Policy", Kind.RATE_LIMITED),
        (429, "Fair usage policy limit hit", Kind.RATE_LIMITED),
        (403, "Blocked under our fair use policy", Kind.FORBIDDEN),
        (429, "Your usage does not comply with the Fair Usage Policy and is limited.", Kind.RATE_LIMITED),
        (400, "Your prompt violates our usage policies", Kind.CONTENT_REFUSED),
        (403, "Your request was blocked by our safety systems.", Kind.CONTENT_REFUSED),
        (403, "Your IP address was blocked by our safety systems", Kind.FORBIDDEN),
        (403, "Your IP was blocked by our safety systems", Kind.FORBIDDEN),
        (400, "Blocked by our safety systems: this infringes third-party IP", Kind.CONTENT_REFUSED),
        (403, "Access from your IP has been flagged by our moderation system", Kind.FORBIDDEN),
        (400, "A prompt that names this IP address was blocked by our safety systems", Kind.CONTENT_REFUSED),
    ],
)
def test_a_filter_judges_texts_and_no_addresses_or_amounts(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (503, "balance: pool empty", Kind.SERVER_ERROR),
        (502, "no upstream to balance, the pool is empty", Kind.SERVER_ERROR),
        (503, "connection pool exhausted", Kind.SERVER_ERROR),
        (429, "Your balance is empty", Kind.QUOTA),
        (400, "The credit pool of your organization is exhausted", Kind.QUOTA),
    ],
)
def test_a_pool_of_hosts_is_no_purse(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("n > 1 is not allowed with this model", Kind.UNSUPPORTED),
        ("best_of is not permitted with this model", Kind.UNSUPPORTED),
        ("echo is not allowed for this model", Kind.UNSUPPORTED),
        ("Model gpt-9 is not allowed for this integration", Kind.MISSING),
        ("This model is not allowed for your key", Kind.MISSING),
        ("You are not allowed to use this model", Kind.MISSING),
    ],
)
@pytest.mark.parametrize("status", [400, 412, 422])
def test_what_is_not_allowed_with_a_model_is_not_the_model(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (405, "Tool calling is not supported for model: Hermes-3-405B", Kind.UNSUPPORTED),
        (405, "Method Not Allowed", Kind.CLIENT_ERROR),
        (405, "App quota exhausted", Kind.QUOTA),
        (412, "Model unavailable due to invalid state.", Kind.MISSING),
        (412, "If-Match failed", Kind.CLIENT_ERROR),
    ],
)
def test_odd_statuses_say_what_their_words_say(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("gemma-2-27b-it is not supported for JSON mode/function calling", Kind.UNSUPPORTED),
        ("Model does not support image/audio input", Kind.UNSUPPORTED),
        ("The model acme/big-1 does not exist", Kind.MISSING),
        ("Unknown user/assistant pair", Kind.CLIENT_ERROR),
        ("Cannot parse role/balance is too low", Kind.CLIENT_ERROR),
    ],
)
def test_of_words_with_a_slash_between_only_those_are_read_that_mark_nothing(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (500, "Model Llama-3.2-1B-custom-deployed returned nothing", Kind.SERVER_ERROR),
        (400, "Model MyOrg-7B-quota-exhausted cannot parse this", Kind.CLIENT_ERROR),
        (400, "The model Qwen3-72B-VL does not exist", Kind.MISSING),
        (400, "The 'codex-latest' model is not supported when using Codex with a ChatGPT account.", Kind.MISSING),
        (400, "Chat is not supported by this model", Kind.UNSUPPORTED),
    ],
)
def test_a_name_is_one_word_in_whatever_case(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Invalid schema for function 'f': In context=('a', 'b'), array schema missing items.", Kind.CLIENT_ERROR),
        ("tools[0].parameters.properties[x].items: missing field.", Kind.CLIENT_ERROR),
        ("Items are not persisted when `store` is set to false.", Kind.FOREIGN_STATE),
        ("Item 'rs_1' of type 'reasoning' was provided without its required following item.", Kind.FOREIGN_STATE),
    ],
)
def test_items_of_a_schema_are_not_stored_ones(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "words",
    [
        "Model big-1 does not have a default chat template defined in the tokenizer.",
        "The tokenizer has no chat template, so you must provide one",
        "As of transformers v4.44, default chat template is no longer allowed",
        "Cannot use chat: chat_template is not set",
    ],
)
def test_a_model_without_a_chat_template_lacks_what_a_chat_needs(status: int, words: str) -> None:
    assert read(status, words) is Kind.UNSUPPORTED


def test_why_access_was_ended_counts_more_than_that_it_was() -> None:
    spent = "You've reached your monthly usage limit for this billing cycle."
    assert read(403, spent, type="access_terminated_error") is Kind.QUOTA
    assert read(403, "Talk to us.", type="access_terminated_error") is Kind.AUTH
    assert read(403, spent, type="invalid_api_key") is Kind.AUTH
    paced = "You have reached the concurrent request limit."
    assert read(403, paced, type="access_terminated_error") is Kind.RATE_LIMITED
    assert read(403, paced, type="invalid_api_key") is Kind.AUTH


@pytest.mark.parametrize("first", ["request_id", "requestId", "id"])
def test_an_error_inside_a_message_may_begin_with_its_id(first: str) -> None:
    inner = f'{{"{first}":"1","code":"InvalidParameter","message":"Unsupported model: big-1."}}'
    assert read(400, f"litellm.BadRequestError: OpenAIException - {inner}. Received Model Group=x") is Kind.MISSING
    assert read(400, f"Cannot parse content: {inner}") is Kind.CLIENT_ERROR


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("At most 1 image(s) may be provided in one request.", Kind.UNSUPPORTED),
        ("At most 4 images are possible with this model", Kind.UNSUPPORTED),
        ("temperature must be at most 2", Kind.CLIENT_ERROR),
        ("At most 4 stop sequences may be given", Kind.CLIENT_ERROR),
        ("The size of the input image exceeds the limit", Kind.CLIENT_ERROR),
        ("The input exceeds the limit", Kind.CONTEXT_LENGTH),
        ("The input image violates our safety policy", Kind.CONTENT_REFUSED),
    ],
)
def test_so_many_images_are_a_targets_limit_and_the_size_of_one_is_no_length(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The supported API model names are big-1 or big-2, but you passed big.", Kind.MISSING),
        ("Supported model names are: big-1, big-2", Kind.MISSING),
        ("This parameter is for supported models alone", Kind.CLIENT_ERROR),
    ],
)
def test_who_lists_the_models_that_there_are_has_not_the_one_that_was_asked_for(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


def test_a_type_alone_makes_no_pace_of_what_has_to_be_paid() -> None:
    spent = "Token Plan usage limit reached: purchase Credits (2056)"
    assert read(429, spent, type="rate_limit_error") is Kind.QUOTA
    assert read(429, spent, type="requests", code="rate_limit_exceeded") is Kind.RATE_LIMITED
    assert read(429, "Quota exceeded: 20 requests per minute", type="rate_limit_error") is Kind.RATE_LIMITED
    assert read(429, "Try again in 5 s. " + spent, type="rate_limit_error") is Kind.RATE_LIMITED


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_relay_without_a_key_for_a_model_has_not_the_model(status: int) -> None:
    assert read(status, "credential binding changed", code="channel:invalid_key") is Kind.MISSING


def test_of_a_message_the_first_two_kib_are_read() -> None:
    said = " insufficient quota"
    assert read(400, f"{said:.>2048}") is Kind.QUOTA
    assert read(400, f"{said:.>2049}") is Kind.CLIENT_ERROR


def test_a_message_may_be_that_of_a_status() -> None:
    body = msgspec.json.encode({"status_code": 50002, "status_message": "Insufficient balance"})
    assert classify(403, [], body, NOW).kind is Kind.QUOTA


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (503, "There are no channels available for model big-1 under the current group", Kind.LOADING),
        (400, "There are no channels available for model big-1", Kind.MISSING),
        (400, "The audio has no channels", Kind.CLIENT_ERROR),
        (403, "model is not in the api-key allowlist for this key", Kind.MISSING),
        (403, "This model is not in the allowlist of your team", Kind.MISSING),
        (403, "该模型不在当前Key可用模型范围内", Kind.MISSING),
        (400, "模型参数不在范围内", Kind.CLIENT_ERROR),
        (400, "The model did not allow prompt caching", Kind.UNSUPPORTED),
        (400, "This model does not allow a system prompt", Kind.UNSUPPORTED),
        (403, "Your plan does not allow this model", Kind.MISSING),
        (422, "messages[0].role: unknown variant `developer`, expected one of `system`, `user`", Kind.UNSUPPORTED),
        (422, "messages[0].role: unknown variant `robot`, expected one of `system`, `user`", Kind.CLIENT_ERROR),
        (400, "We do not allow prompts of that kind, they violate our safety policy", Kind.CONTENT_REFUSED),
    ],
)
def test_a_model_that_may_not_be_asked_is_not_one_that_may_not_do_something(
    status: int, words: str, kind: Kind
) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("guardrail: input exceeds max length", Kind.CONTEXT_LENGTH),
        ("Guardrail: timeout must be a number", Kind.CLIENT_ERROR),
        ("Input blocked by guardrails", Kind.CONTENT_REFUSED),
        ("Guardrail intervened", Kind.CONTENT_REFUSED),
    ],
)
def test_a_guardrail_judges_a_text_only_where_it_says_so(words: str, kind: Kind) -> None:
    assert read(422, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "Only 'text' content type is supported.", Kind.UNSUPPORTED),
        (500, "Only one image per message is supported", Kind.UNSUPPORTED),
        (400, "Only PNG and JPEG files are accepted", Kind.UNSUPPORTED),
        (400, "Only the owner may delete this; supported verbs are listed", Kind.CLIENT_ERROR),
    ],
)
def test_who_takes_only_one_form_lacks_the_others(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "Please launch the server with --tool-call-parser if you want to use tool calling.", Kind.UNSUPPORTED),
        (400, "tools need the --jinja flag", Kind.UNSUPPORTED),
        (500, "This needs a server with embeddings: start it with --embeddings", Kind.UNSUPPORTED),
        (400, "Unexpected text -- tool ended", Kind.CLIENT_ERROR),
    ],
)
def test_a_server_that_would_have_to_be_started_otherwise_lacks_it(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "no router for requested model", Kind.MISSING),
        (503, "No backends at all for this model", Kind.LOADING),
        (422, "model has no price catalog entry", Kind.MISSING),
        (400, "There is no image input for this model", Kind.CLIENT_ERROR),
        (429, "No more than 20 requests for this model", Kind.RATE_LIMITED),
    ],
)
def test_a_model_for_which_there_is_no_such_thing_is_missing(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


def test_a_model_without_something_is_not_believed_to_be_missing_if_the_request_says_so() -> None:
    body = msgspec.json.encode({"error": {"message": "Sorry: there is no router for requested model"}})
    assert classify(404, [], body, NOW).grounds == (("no", "router", "for", "requested", "model"),)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "get_user_quota_failed", Kind.SERVER_ERROR),
        (403, "pre_consume_token_quota_failed", Kind.QUOTA),
        (500, "quota_exceeded_error", Kind.QUOTA),
        (500, "content_policy_violation_error", Kind.CONTENT_REFUSED),
    ],
)
def test_books_that_failed_have_not_been_read(status: int, code: str, kind: Kind) -> None:
    assert read(status, "database is locked", code=code) is kind


def test_a_refused_key_may_be_one_without_money() -> None:
    spent = "Budget has been exceeded! Current cost: 26.075, Max budget: 0.25"
    assert read(401, spent, type="auth_error") is Kind.QUOTA
    assert read(401, spent, type="invalid_api_key") is Kind.AUTH
    assert read(401, "Your budget is fine, your key is not.", type="auth_error") is Kind.AUTH


@pytest.mark.parametrize(
    "words",
    [
        "MCP server 'payments' returned 402 Payment Required",
        "MCP server at https://x.example: rate limit exceeded",
        "The remote MCP tool says: insufficient credits",
        "Error retrieving tool list from MCP server: 'x'. Http status code: 402 (Payment Required)",
        "The MCP server 'x' failed. It said that your credit balance is too low. Your API key is invalid.",
        "Error while downloading https://x.example/y.png. Payment required: insufficient credits",
        "The connector failed: 429, rate limit exceeded",
    ],
)
def test_the_bills_and_paces_of_a_clients_own_server_mark_nobody(words: str) -> None:
    assert read(400, words) is Kind.CLIENT_ERROR


def test_a_prompt_that_is_too_long_may_come_as_a_404() -> None:
    assert read(404, "Your prompt exceeds the context window") is Kind.CONTEXT_LENGTH


@pytest.mark.parametrize("member", ["image_url", "video_url", "input_image", "file_url"])
def test_a_member_made_of_words_for_what_a_model_may_lack_is_read_in_quotes(member: str) -> None:
    assert read(400, f"messages[0]: unknown variant `{member}`, expected `text`") is Kind.UNSUPPORTED
    assert read(400, f"messages[0]: unknown variant `{member}_of_mine`, expected `text`") is Kind.CLIENT_ERROR


def test_a_signature_that_has_expired_is_a_key_where_a_code_says_so() -> None:
    body = msgspec.json.encode({"Response": {"Error": {"Code": "AuthFailure.SignatureExpire", "Message": "?"}}})
    assert in_band(body, NOW).kind is Kind.AUTH


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"errno": 18, "errmsg": "Open api qps request limit reached"}, Kind.RATE_LIMITED),
        ({"err": "insufficient balance"}, Kind.QUOTA),
        ({"err": {"message": "insufficient balance"}}, Kind.QUOTA),
    ],
)
def test_a_message_may_go_by_a_short_name(payload: dict[str, object], kind: Kind) -> None:
    assert in_band(msgspec.json.encode(payload), NOW).kind is kind


def test_the_endpoint_for_chats_is_no_model() -> None:
    assert read(403, "Access to the chat endpoint is denied.", code="permission-denied") is Kind.FORBIDDEN
    assert read(403, "Access to the endpoint big-1 is denied.") is Kind.MISSING


@pytest.mark.parametrize(
    "words",
    [
        "Conversation with this id not found",
        "Vector store 'vs_1' not found",
        "No file found with id 'file-abc'",
        "Prompt with id 'pmpt_1' not found",
        "Thread thread_1 does not exist",
    ],
)
def test_what_a_client_has_left_elsewhere_is_no_fault_of_who_has_it_not(words: str) -> None:
    assert read(404, words) is Kind.FOREIGN_STATE
    assert read(400, words) in (Kind.FOREIGN_STATE, Kind.CLIENT_ERROR)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("The assistant model big-1 was not found", Kind.MISSING),
        ("File not found.", Kind.NOT_FOUND),
        ("Tunnel not found", Kind.NOT_FOUND),
    ],
)
def test_what_no_client_has_left_anywhere_is_missing(words: str, kind: Kind) -> None:
    assert read(404, words) is kind


@pytest.mark.parametrize(
    "words",
    [
        "tools[0].server_url: endpoint not found",
        "messages.2: your credit balance is too low is no role",
        "contents[1] says that the quota is exceeded",
    ],
)
def test_what_is_said_of_a_place_in_the_request_marks_nobody(words: str) -> None:
    assert read(400, words) is Kind.CLIENT_ERROR


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (403, "Ihr Kontingent ist aufgebraucht.", Kind.QUOTA),
        (400, "Ihr Guthaben reicht nicht aus.", Kind.QUOTA),
        (403, "Cr\u00e9dit insuffisant, veuillez recharger votre compte", Kind.QUOTA),
        (403, "Ha superado su cuota mensual", Kind.QUOTA),
        (403, "Saldo esgotado", Kind.QUOTA),
        (403, "Credito insufficiente", Kind.QUOTA),
        (403, "\u5e33\u6236\u9918\u984d\u4e0d\u8db3\uff0c\u8acb\u5132\u503c", Kind.QUOTA),
        (400, "Das Modell 'x' wurde nicht gefunden.", Kind.MISSING),
        (400, "Le mod\u00e8le demand\u00e9 n'existe pas", Kind.MISSING),
        (400, "El modelo solicitado no existe", Kind.MISSING),
        (400, "Modelo n\u00e3o encontrado", Kind.MISSING),
        (400, "Modello non trovato", Kind.MISSING),
        (400, "Ung\u00fcltiger API-Schl\u00fcssel", Kind.AUTH),
        (400, "Cl\u00e9 API invalide", Kind.AUTH),
        (400, "Clave de API no v\u00e1lida", Kind.AUTH),
        (400, "Muitas requisi\u00e7\u00f5es, tente novamente mais tarde", Kind.RATE_LIMITED),
        (400, "Die Eingabe \u00fcberschreitet die maximale Kontextl\u00e4nge des Modells.", Kind.CONTEXT_LENGTH),
        (
            400,
            "\u5165\u529b\u304c\u6700\u5927\u30b3\u30f3\u30c6\u30ad\u30b9\u30c8\u9577\u3092\u8d85\u3048\u3066\u3044\u307e\u3059",
            Kind.CONTEXT_LENGTH,
        ),
        (400, "Der Parameter 'temperature' ist ung\u00fcltig", Kind.CLIENT_ERROR),
        (400, "La herramienta no existe", Kind.CLIENT_ERROR),
        (400, "El mensaje no es v\u00e1lido", Kind.CLIENT_ERROR),
        (400, "Le champ 'messages' est requis", Kind.CLIENT_ERROR),
    ],
)
def test_other_languages_say_the_same_with_and_without_accents(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("tool web_search is not allowed on this model", Kind.UNSUPPORTED),
        ("tool web_search is not available in this deployment", Kind.UNSUPPORTED),
        ("this model is not available for your tools", Kind.UNSUPPORTED),
        ("tool web_search is not included in this deployment", Kind.CLIENT_ERROR),
        ("this model is not available", Kind.MISSING),
    ],
)
def test_a_verb_is_said_of_the_tool_before_it_and_not_of_the_model_behind(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Failed to fetch https://shop.example/invoice.pdf: 402 Payment Required", Kind.CLIENT_ERROR),
        ("The image URL https://x.example/i.png returned 429 Too Many Requests", Kind.CLIENT_ERROR),
        ("Could not download https://x.example/a.png: rate limit exceeded", Kind.CLIENT_ERROR),
        ("Rate limit exceeded, see https://docs.example/limits", Kind.RATE_LIMITED),
        ("Out of credits. Download invoices at https://shop.example", Kind.QUOTA),
    ],
)
def test_what_a_place_says_that_the_request_names_is_not_the_providers(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    "words", ["No API key set for provider: openai", "No api key found in the request", "No credentials configured"]
)
def test_where_there_is_no_key_none_is_right(words: str) -> None:
    assert read(400, words) is Kind.AUTH


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (500, "Stream: exceeded maximum number of attempts, 3, response error", Kind.SERVER_ERROR),
        (500, "Max retries exceeded with url", Kind.SERVER_ERROR),
        (400, "400 - Request Body: Model x9 not supported.", Kind.MISSING),
        (400, "Invalid request body: model x9 not supported", Kind.CLIENT_ERROR),
        (403, "This account is not allowed to access this endpoint.", Kind.FORBIDDEN),
        (
            403,
            "Model access is denied: required are aws-marketplace:ViewSubscriptions to use this model.",
            Kind.MISSING,
        ),
        (400, "Monthly budget of $50 exceeded for this key", Kind.QUOTA),
        (400, "thinking budget of 50 exceeded", Kind.CLIENT_ERROR),
        (400, "model 'x' is not in the list of allowed models", Kind.MISSING),
        (400, "There is no deployment named prod", Kind.MISSING),
        (400, "No model provided", Kind.CLIENT_ERROR),
        (400, "The function check-key was deleted", Kind.CLIENT_ERROR),
        (400, "Requests-per-minute (RPM) of 3", Kind.RATE_LIMITED),
        (400, "A pay-as-you-go plan is required", Kind.QUOTA),
        (429, "ai gateway account daily spend limit exceeded", Kind.QUOTA),
        (400, "Your prompt has 140000 tokens but the model only takes 131072", Kind.CONTEXT_LENGTH),
        (400, "invalid request: message must be at least 1 token long", Kind.CLIENT_ERROR),
        (400, "LLM Provider NOT provided. You passed model=x", Kind.MISSING),
        (400, '"n" > 1 is not currently supported', Kind.UNSUPPORTED),
        (403, "organization has reached its limit", Kind.QUOTA),
        (403, "organization has reached its limit of 20 requests per minute", Kind.RATE_LIMITED),
        (403, "5-hour limit exceeded", Kind.QUOTA),
        (400, "Web search requires a paid plan", Kind.UNSUPPORTED),
        (403, "This model requires a subscription", Kind.QUOTA),
        (403, "This API requires billing", Kind.QUOTA),
        (429, "Fast mode requires usage credits", Kind.RATE_LIMITED),
    ],
)
def test_more_families_and_their_neighbours(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    "frame", ["Error: {}", "Upstream error: {}", "{} (request id: 2026abc)", "{} [request_id=r_1, x=2]"]
)
@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "Extra inputs are not permitted: api_key", Kind.CLIENT_ERROR),
        (400, "invalid token in regex", Kind.CLIENT_ERROR),
        (400, "Video duration exceeded: at most 60 s free", Kind.CLIENT_ERROR),
        (404, "Resource not found", Kind.MISSING),
        (404, "Not Found", Kind.MISSING),
        (400, "Invalid API key", Kind.AUTH),
        (503, "The service is closed", Kind.SERVER_ERROR),
    ],
)
def test_what_a_message_begins_and_ends_with_says_nothing(frame: str, status: int, words: str, kind: Kind) -> None:
    assert read(status, frame.format(words)) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("File credit-limit.csv not found", Kind.CLIENT_ERROR),
        ("Could not read billing/usage-limit.pdf: too many requests", Kind.RATE_LIMITED),
        ("quota.json exceeded 10 MB", Kind.CLIENT_ERROR),
        ("account-balance.csv exceeded 10 MB", Kind.CLIENT_ERROR),
        ("Template variable credit-card is missing", Kind.CLIENT_ERROR),
        ("Skill user-quota not found", Kind.CLIENT_ERROR),
        ("Result for property payment-method is missing", Kind.CLIENT_ERROR),
        ("Prompt usage-limit was not found", Kind.CLIENT_ERROR),
        ("The usage-limit was exceeded", Kind.QUOTA),
        ("Your payment-method is missing", Kind.QUOTA),
    ],
)
def test_a_file_and_a_name_behind_its_noun_are_the_requests(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (403, "input + max_tokens exceeds the model context length", Kind.CONTEXT_LENGTH),
        (403, "image input is not supported by this model", Kind.UNSUPPORTED),
        (403, "Function calling is not enabled for this project", Kind.UNSUPPORTED),
        (403, "Your account does not support streaming", Kind.UNSUPPORTED),
        (403, "Your plan does not support this model", Kind.MISSING),
        (400, "The free tier does not support this model", Kind.MISSING),
        (403, "This API key does not support the requested model", Kind.MISSING),
        (403, "Your plan does not support tools for this model", Kind.UNSUPPORTED),
        (403, "You may not do this", Kind.FORBIDDEN),
    ],
)
def test_a_403_may_say_what_one_request_needs_or_which_model_is_barred(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (403, 'Budget "team" (0000-00) has reached its limit of $100. Ask an admin to increase the budget', Kind.QUOTA),
        (403, "The budget has been reached", Kind.QUOTA),
        (400, "Your thinking budget has reached its limit", Kind.CLIENT_ERROR),
        (400, "Please increase budget_tokens to at least 1024", Kind.CLIENT_ERROR),
        (400, "Increase the budget tokens", Kind.CLIENT_ERROR),
        (400, "Budget must be a positive number", Kind.CLIENT_ERROR),
        (400, "function budget not found", Kind.CLIENT_ERROR),
    ],
)
def test_a_budget_is_money_unless_it_is_for_thinking(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (404, "Context limit is 4096 tokens; prompt=5000 leaves 0 output tokens", Kind.CONTEXT_LENGTH),
        (400, "Your prompt leaves no room for output tokens", Kind.CONTEXT_LENGTH),
        (400, "There is no room for the tool", Kind.CLIENT_ERROR),
        (400, "best_of is no longer supported, removed in v2", Kind.UNSUPPORTED),
        (400, "The model x is no longer supported", Kind.MISSING),
        (400, "Your key format is no longer supported", Kind.CLIENT_ERROR),
        (400, "logprobs are available only for the other backend", Kind.UNSUPPORTED),
        (400, "This model is available only to enterprise customers", Kind.MISSING),
        (400, "Received n=2, but only single choice (n=1) is currently supported", Kind.UNSUPPORTED),
        (400, "a single choice must be given", Kind.CLIENT_ERROR),
        (400, "Unknown LoRA: sql; for model: big", Kind.MISSING),
    ],
)
def test_what_is_no_longer_there_or_does_not_fit(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


def test_a_code_about_a_model_bars_no_account() -> None:
    assert read(403, "", code="InvalidEndpointOrModel.ModelIDAccessDisabled") is Kind.MISSING
    assert read(403, "", code="account_access_disabled") is Kind.AUTH


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (403, "CachedContent not found (or permission denied)", Kind.FOREIGN_STATE),
        (403, "Thread not found", Kind.FOREIGN_STATE),
        (403, "No access: model not found", Kind.MISSING),
        (403, "The cached content is yours", Kind.FORBIDDEN),
        (429, "monthly cap exceeded", Kind.QUOTA),
        (429, "Feature cap exceeded", Kind.RATE_LIMITED),
    ],
)
def test_what_a_client_has_left_elsewhere_may_be_forbidden_and_a_cap_may_be_a_quota(
    status: int, words: str, kind: Kind
) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ({"provider_name": "Meta", "provider_error_code": "model_not_found"}, Kind.MISSING),
        ({"provider_name": "Meta", "provider_error_code": "insufficient_quota"}, Kind.QUOTA),
        ({"provider_name": "Meta", "provider_error_code": "404"}, Kind.NOT_FOUND),
        ({"provider_name": "Meta", "provider_error_code": None}, Kind.NOT_FOUND),
        ({"provider_name": "Meta", "provider_error_code": 7}, Kind.NOT_FOUND),
    ],
)
def test_a_relay_names_the_code_that_it_was_given(metadata: dict[str, object], kind: Kind) -> None:
    body = msgspec.json.encode({"error": {"message": "Provider returned error", "code": 404, "metadata": metadata}})
    found = classify(404, [], body, NOW)
    assert found.kind is kind
    assert found.of_target is (kind is Kind.QUOTA)


def test_a_relay_names_its_own_status_and_not_that_of_who_is_behind_it() -> None:
    raw = '{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}'
    error = {"message": "Provider returned error", "metadata": {"raw": raw, "provider_name": "Google"}}
    assert in_band(msgspec.json.encode({"error": {**error, "code": 502}}), NOW).kind is Kind.SERVER_ERROR
    assert in_band(msgspec.json.encode({"error": error}), NOW).status == 403, (
        "if it names none, it is that of the other"
    )


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Streaming is not currently supported with beam search", Kind.UNSUPPORTED),
        ("Beam search is not supported here", Kind.UNSUPPORTED),
        ("Invalid value for beam_search: expected a boolean", Kind.CLIENT_ERROR),
        ("Encrypted content is not supported.", Kind.UNSUPPORTED),
        ("The encrypted content could not be verified", Kind.FOREIGN_STATE),
        ("Currently do not support verbose_json", Kind.UNSUPPORTED),
        ("chat_template_kwargs is not supported", Kind.UNSUPPORTED),
        ("Invalid chat_template_kwargs payload: expected object", Kind.CLIENT_ERROR),
        ("chat_template could not be parsed: invalid syntax", Kind.UNSUPPORTED),
    ],
)
def test_what_a_request_may_ask_for_is_lacking_or_ill_formed(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("This model takes no images", Kind.UNSUPPORTED),
        ("The model does not take images", Kind.UNSUPPORTED),
        ("This model cannot call functions", Kind.UNSUPPORTED),
        ("Structured outputs are not something this model offers", Kind.UNSUPPORTED),
        ("Tools may not be used with this model", Kind.UNSUPPORTED),
        ("Reasoning is mandatory for this endpoint and cannot be disabled", Kind.UNSUPPORTED),
        ("Dieses Modell unterstützt keine Bilder", Kind.UNSUPPORTED),
        ("This model requires reasoning to be enabled", Kind.UNSUPPORTED),
        ("You can't use tools with this model", Kind.UNSUPPORTED),
        ("Do not send images in a message that has tools", Kind.CLIENT_ERROR),
        ("This endpoint requires images", Kind.UNSUPPORTED),
        ("The model field is required and images must be URLs", Kind.CLIENT_ERROR),
        ("No images in message 2, which the model reads", Kind.CLIENT_ERROR),
        ("The tool 'a' has no description", Kind.CLIENT_ERROR),
        ("Do not use a model's name as the name of a function", Kind.CLIENT_ERROR),
    ],
)
def test_what_one_model_does_not_do_it_lacks_whatever_the_verb(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("8192 tokens of context, but the request needs 15246", Kind.CONTEXT_LENGTH),
        ("The model's context is 4096 tokens, 5000 were sent.", Kind.CONTEXT_LENGTH),
        ("Model context window is 128k tokens, you requested 256k tokens", Kind.CONTEXT_LENGTH),
        ("Context: 131072, prompt: 140000 tokens", Kind.CONTEXT_LENGTH),
        ("messages 3: context has to be a string, not tokens", Kind.CLIENT_ERROR),
        ("min_tokens must be less than or equal to max_tokens=16, got 64.", Kind.CLIENT_ERROR),
        ("token ids are out of range: 200000", Kind.CLIENT_ERROR),
    ],
)
def test_two_numbers_of_a_context_are_compared(words: str, kind: Kind) -> None:
    assert read(400, words) is kind


@pytest.mark.parametrize("status", [400, 403, 429])
@pytest.mark.parametrize(
    "words",
    [
        "Your budget is used up",
        "The team's budget was reached",
        "Budget has been exceeded for this key",
        "The monthly budget for this key is exhausted",
        "This key's budget does not suffice",
    ],
)
def test_a_budget_is_money_that_may_be_spent(status: int, words: str) -> None:
    assert read(status, words) is Kind.QUOTA


@pytest.mark.parametrize(
    "words",
    [
        "budget: field required",
        "Tool budget was reached by two calls",
        "thinking: the budget left is 0 tokens",
        "budget_tokens was exceeded",
        "No tool named budget_exceeded",
    ],
)
def test_another_budget_is_the_clients_own(words: str) -> None:
    assert read(400, words) is Kind.CLIENT_ERROR


def test_a_spent_budget_is_not_believed_if_the_request_says_so() -> None:
    found = classify(400, [], b'{"error":{"message":"The budget of this trip was exceeded"}}', NOW)
    assert found.kind is Kind.QUOTA
    assert found.grounds == (("budget", "of", "this", "trip", "was", "exceeded"),)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (402, "There are no credits left", Kind.QUOTA),
        (403, "Your free credits are gone", Kind.QUOTA),
        (400, "API key limit reached", Kind.QUOTA),
        (429, "No tokens today: the limit is reached", Kind.QUOTA),
        (400, "The date is gone", Kind.CLIENT_ERROR),
        (400, "A left bracket is missing", Kind.CLIENT_ERROR),
        (400, "monthly tokens", Kind.CLIENT_ERROR),
    ],
)
def test_what_is_gone_or_left_is_money_only_where_it_is_named(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("There is no thread thread_1", Kind.FOREIGN_STATE),
        ("Your conversation has expired", Kind.FOREIGN_STATE),
        ("Container cntr_1 was deleted", Kind.FOREIGN_STATE),
        ("The file file_1 has expired", Kind.FOREIGN_STATE),
        ("The model was deleted", Kind.MISSING),
        ("Model x has expired", Kind.MISSING),
    ],
)
def test_what_has_expired_was_left_there_unless_it_is_a_model(words: str, kind: Kind) -> None:
    assert read(404, words) is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (
            403,
            "Your resource has been temporarily blocked because we detected behavior that may break our content policy",
            Kind.FORBIDDEN,
        ),
        (403, "Your prompt was flagged for harmful behavior", Kind.CONTENT_REFUSED),
    ],
)
def test_a_resource_that_was_blocked_is_no_text(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


@pytest.mark.parametrize(
    "words",
    [
        "Malformed publisher model",
        "unexpected model name format",
        "malformed model ID",
        "foo is no valid model",
    ],
)
def test_the_name_of_a_model_may_be_malformed(words: str) -> None:
    assert read(400, words) is Kind.MISSING


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"type": "1113", "message": "x"}}, Kind.QUOTA),
        (400, {"error": {"code": "1311", "message": "x"}}, Kind.MISSING),
        (400, {"error": {"type": "about:blank", "message": "x"}}, Kind.CLIENT_ERROR),
    ],
)
def test_a_vendors_number_may_stand_in_the_type(status: int, body: object, kind: Kind) -> None:
    assert classify(status, [], msgspec.json.encode(body), NOW).kind is kind


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Your plan supports only up to 256K context", Kind.CONTEXT_LENGTH),
        ("The prompt is longer than the context window", Kind.CONTEXT_LENGTH),
        ("The token is too long", Kind.AUTH),
        ("Your token exceeds the maximum length", Kind.AUTH),
        ("Invalid token in this context", Kind.AUTH),
    ],
)
def test_a_plan_may_refuse_a_context_with_401(words: str, kind: Kind) -> None:
    """Kimi does. Without a context a token is a key there."""
    assert read(401, words) is kind
    assert read(401, words, type="invalid_authentication_error") is kind


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, '400 {"type":"error","error":{"message":"Your credit balance is too low"}}', Kind.QUOTA),
        (400, 'Upstream error: 404 {"error":{"message":"The model `gpt-9` does not exist"}}', Kind.MISSING),
        (400, 'got status: 400 Bad Request. {"error":{"code":400,"message":"API key not valid."}}', Kind.AUTH),
        (400, 'got status: 400 . {"error":{"message":"This model does not support tools."}}', Kind.UNSUPPORTED),
        (400, 'got status: NOT_FOUND. {"error":{"message":"models/gemini-x is not found"}}', Kind.MISSING),
        (400, 'API Error: Status Code 429, {"error":{"message":"Requests per minute: 3"}}', Kind.RATE_LIMITED),
        (400, 'got status. {"error":{"message":"Your credit balance is too low"}}', Kind.CLIENT_ERROR),
        (400, 'got 404, {"error":{"message":"Your credit balance is too low"}}', Kind.CLIENT_ERROR),
        (400, 'We got 404 {"error":{"message":"Your credit balance is too low"}}', Kind.CLIENT_ERROR),
        (400, 'prompt: 404 {"error":{"message":"Your credit balance is too low"}}', Kind.CLIENT_ERROR),
        (400, '400 {"error":{"message":"messages: at least one message is required"}}', Kind.CLIENT_ERROR),
    ],
)
def test_an_error_inside_a_message_may_come_behind_its_status(status: int, words: str, kind: Kind) -> None:
    assert read(status, words) is kind


BILL = '{"error":{"message":"Your credit balance is too low","code":"insufficient_quota"}}'


@pytest.mark.parametrize("status", [400, 424, 500])
@pytest.mark.parametrize(
    "words",
    [
        f"Error retrieving tool list from MCP server 'x': 402 Payment Required {BILL}",
        f"Error retrieving tool list from MCP server: 'x'. Http status code: 402 {BILL}",
        f"Error while downloading https://x.example/y.png: {BILL}",
        f"Failed to fetch image from url https://x.example/y.png: 402 Payment Required {BILL}",
        f"Connector x failed, got status: 402 Payment Required. {BILL}",
        f"Failed to fetch https://x.example/a: 402 Payment Required {BILL}",
        f"Tool weather failed: HTTP 402: {BILL}",
    ],
)
def test_an_error_of_a_place_that_the_request_names_is_not_opened(status: int, words: str) -> None:
    """Whoever runs that place could take the provider away from others: the words are in no request."""
    assert read(status, words) in (Kind.CLIENT_ERROR, Kind.SERVER_ERROR, Kind.UNSUPPORTED)


@pytest.mark.parametrize("status", [400, 424, 500])
@pytest.mark.parametrize(
    "members",
    [
        {"message": "MCP server 'x' failed", "error": {"code": "insufficient_quota"}},
        {"message": "MCP server error", "details": {"message": "Your credit balance is too low"}},
        {"message": "The connector x failed", "cause": {"code": "invalid_api_key"}},
        {"message": "Failed to fetch https://x.example/a.png", "details": [{"message": "Out of credits"}]},
        {"message": "Error while downloading https://x.example/a.png", "metadata": {"raw": BILL}},
        {"message": "Tool call failed", "error": {"code": "insufficient_quota"}},
        {"message": "Failed to download image", "details": {"message": "Your credit balance is too low"}},
        {"message": "Error executing tool x", "cause": {"code": "invalid_api_key"}},
        {"message": "The image host responded with 402", "metadata": {"raw": BILL}},
        {"message": f"Function x returned an error: {BILL}"},
    ],
)
def test_nor_is_one_in_an_object(status: int, members: dict[str, object]) -> None:
    found = classify(status, [], msgspec.json.encode({"error": members}), NOW)
    assert found.kind in (Kind.CLIENT_ERROR, Kind.SERVER_ERROR, Kind.UNSUPPORTED)


OPENAI = "https://api.openai.com/v1/chat/completions"
ANTHROPIC = "https://api.anthropic.com/v1/messages"
BOTO = "An error occurred ({}) when calling the Converse operation"


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (500, f'POST "{OPENAI}": 429 Too Many Requests {{"message":"x","code":"insufficient_quota"}}', Kind.QUOTA),
        (400, f'POST "{ANTHROPIC}": 400 Bad Request {{"error":{{"message":"Invalid API key"}}}}', Kind.AUTH),
        (
            400,
            f'POST "{ANTHROPIC}": 400 Bad Request {{"error":{{"message":"messages: field required"}}}}',
            Kind.CLIENT_ERROR,
        ),
        (400, "error, status code: 404, status: 404 Not Found, message: The model `x` does not exist", Kind.MISSING),
        (400, "error, status code: 400, message: Your credit balance is too low", Kind.QUOTA),
        (400, "the prompt says error, status code: 400, message: Your credit balance is too low", Kind.CLIENT_ERROR),
        (400, BOTO.format("ExpiredTokenException") + ": The security token is expired", Kind.AUTH),
        (400, BOTO.format("ValidationException") + ": Malformed input request", Kind.CLIENT_ERROR),
        (400, BOTO.format("ThrottlingException") + " (reached max retries: 4): Please wait", Kind.RATE_LIMITED),
        (400, 'prompt: 402 Payment Required {"error":{"message":"Your credit balance is too low"}}', Kind.CLIENT_ERROR),
    ],
)
def test_what_an_sdk_says_of_an_error_is_read_as_that_error(status: int, words: str, kind: Kind) -> None:
    """A relay's message is often the text of an exception: of the SDKs in Go, of go-openai, of botocore."""
    assert read(status, words) is kind
