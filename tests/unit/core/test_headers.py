"""Which headers pass, in both directions."""

from __future__ import annotations

import msgspec
import pytest

from oxllm import __version__, plan
from oxllm.core.protocols import messages
from oxllm.core.protocols.base import JSON_HEAD, Protocol
from oxllm.core.protocols.chat import PROTOCOL
from oxllm.core.request import headers

PROVIDER = plan.Provider("alpha", tls=True, host="api.alpha.example", port=443, path="/v1", api_key="sk-1")


def sent(provider: plan.Provider = PROVIDER, stream: bool = False) -> list[str]:
    head = headers.upstream_head(provider, PROTOCOL, PROTOCOL.endpoints[0], stream)
    assert head.endswith(b"\r\n")
    return head.decode("latin-1").removesuffix("\r\n").split("\r\n")


@pytest.mark.parametrize(
    "name",
    [
        b"content-type",
        b"content-language",
        b"content-disposition",
        b"openai-processing-ms",
        b"openai-organization",
        b"anthropic-organization-id",
        b"anthropic-ratelimit-requests-remaining",
        b"x-ratelimit-remaining-requests",
        b"retry-after",
        b"retry-after-ms",
    ],
)
def test_content_headers_limits_and_hints_pass(name: bytes) -> None:
    assert headers.downstream([(name, b"v")]) == [(name, b"v")]


@pytest.mark.parametrize(
    "name",
    [
        b"set-cookie",
        b"server",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"connection",
        b"access-control-allow-origin",
        b"x-oxllm-provider",
        b"authorization",
        b"date",
        b"location",
    ],
)
def test_no_other_header_passes(name: bytes) -> None:
    assert headers.downstream([(name, b"v")]) == []
    assert headers.downstream([(name, b"v")], headers.STREAM_HEAD) == headers.STREAM_HEAD


def test_of_a_head_is_kept_what_may_pass_and_what_says_how_to_pass_the_body() -> None:
    kept = [(b"content-type", b"a/b"), (b"request-id", b"r"), (b"content-length", b"5"), (b"content-encoding", b"gzip")]
    rest = [(b"set-cookie", b"c" * 5000), (b"date", b"d"), (b"transfer-encoding", b"chunked"), (b"x-other", b"o")]
    head = [field for pair in zip(kept, rest, strict=True) for field in pair]
    assert headers.kept(head) == headers.kept(head) == kept
    for own in ([], headers.STREAM_HEAD):
        assert headers.downstream(headers.kept(head), own) == headers.downstream(head, own)
    assert headers.content_length(headers.kept(head)) == 5


@pytest.mark.parametrize("name", [b"x-request-id", b"request-id"])
def test_the_providers_request_id_gets_a_name_of_its_own(name: bytes) -> None:
    assert headers.downstream([(name, b"r")]) == [(b"x-upstream-request-id", b"r")]


def test_of_two_fields_of_one_name_the_first_passes() -> None:
    """No client should have to choose: two parsers could choose differently."""
    twice = [(b"content-type", b"a/b"), (b"x-request-id", b"1"), (b"content-type", b"c/d"), (b"x-request-id", b"2")]
    assert headers.downstream(twice) == [(b"content-type", b"a/b"), (b"x-upstream-request-id", b"1")]


@pytest.mark.parametrize("own", [[], JSON_HEAD, headers.STREAM_HEAD])
def test_whether_a_name_passes_does_not_depend_on_what_came_before(own: list[tuple[bytes, bytes]]) -> None:
    names = (b"content-type", b"server", b"x-request-id", b"cache-control", b"retry-after", b"openai-version")
    head = [(name, b"v") for name in names * 2]
    first = own or [(b"content-type", b"v")]
    rest = [(b"x-upstream-request-id", b"v"), (b"retry-after", b"v"), (b"openai-version", b"v")]
    assert headers.downstream(head, own) == headers.downstream(head, own) == first + rest


def test_a_stream_has_our_spelling_of_its_type_once() -> None:
    passed = headers.downstream([(b"content-type", b"text/event-stream;charset=UTF-8")], headers.STREAM_HEAD)
    assert passed == headers.STREAM_HEAD
    assert passed is not headers.STREAM_HEAD


def test_the_declared_length_is_read() -> None:
    assert headers.content_length([(b"content-length", b"12")]) == 12
    assert headers.content_length([(b"content-type", b"x")]) is None


def test_a_request_names_host_and_path_and_carries_the_providers_key() -> None:
    lines = sent()
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    assert "host: api.alpha.example" in lines
    assert "authorization: Bearer sk-1" in lines
    assert "accept-encoding: identity" in lines
    assert f"user-agent: oxllm/{__version__}" in lines


def test_what_is_accepted_depends_on_the_request() -> None:
    assert "accept: text/event-stream" in sent(stream=True)
    assert "accept: application/json" in sent(stream=False)


def test_a_provider_without_a_key_gets_no_authorization() -> None:
    local = plan.Provider("local", tls=False, host="::1", port=8000, path="")
    assert not any(line.startswith("authorization") for line in sent(local))
    assert sent(local)[:2] == ["POST /chat/completions HTTP/1.1", "host: [::1]:8000"]


def test_configured_headers_go_along_and_replace_our_own() -> None:
    extra = (("X-Team", "search"), ("User-Agent", "acme/2"), ("Accept", "*/*"))
    provider = plan.Provider("a", tls=False, host="h", port=80, path="", headers=extra, user_agent="no/1")
    lines = sent(provider)
    assert [line for line in lines if line.lower().startswith(("x-team", "user-agent", "accept:"))] == [
        "X-Team: search",
        "User-Agent: acme/2",
        "Accept: */*",
    ]


def test_a_configured_user_agent_is_sent() -> None:
    provider = plan.Provider("a", tls=False, host="h", port=80, path="", user_agent="acme/2")
    assert "user-agent: acme/2" in sent(provider)


# What goes along of a client's head.

CLIENT = [
    (b"host", b"gateway"),
    (b"authorization", b"Bearer own"),
    (b"x-api-key", b"own"),
    (b"cookie", b"a=b"),
    (b"x-stainless-lang", b"python"),
]


def going(client: list[tuple[bytes, bytes]], provider: plan.Provider, protocol: Protocol) -> bytes:
    """The lines that a provider gets beside our own."""
    return headers.upstream(headers.along(client), provider, protocol)


@pytest.mark.parametrize("protocol", [PROTOCOL, messages.PROTOCOL], ids=["chat", "messages"])
@pytest.mark.parametrize(
    "field", [(b"anthropic-version", b"2042-01-01"), (b"anthropic-beta", b"a,b"), (b"openai-beta", b"c=d")]
)
def test_what_an_api_wants_to_know_goes_along(protocol: Protocol, field: tuple[bytes, bytes]) -> None:
    lines = going([*CLIENT, field], PROVIDER, protocol)
    assert lines.count(b"%b: %b\r\n" % field) == 1
    assert b"own" not in lines
    assert b"stainless" not in lines


def test_a_client_without_a_version_gets_the_one_that_all_know() -> None:
    assert going(CLIENT, PROVIDER, messages.PROTOCOL) == b"anthropic-version: 2023-06-01\r\n"
    assert going(CLIENT, PROVIDER, PROTOCOL) == b""


def test_the_configs_own_header_goes_before_the_clients() -> None:
    provider = msgspec.structs.replace(PROVIDER, headers=(("Anthropic-Version", "2023-01-01"),))
    assert going([*CLIENT, (b"anthropic-version", b"x")], provider, messages.PROTOCOL) == b""


def test_the_key_goes_as_the_protocol_or_the_config_has_it() -> None:
    def keyed(auth: str | None) -> bytes:
        provider = msgspec.structs.replace(PROVIDER, auth=auth)
        return headers.upstream_head(provider, messages.PROTOCOL, messages.MESSAGES, False)

    assert (b"x-api-key: sk-1" in keyed(None), b"authorization" in keyed(None)) == (True, False)
    assert (b"authorization: Bearer sk-1" in keyed("bearer"), b"x-api-key" in keyed("bearer")) == (True, False)
