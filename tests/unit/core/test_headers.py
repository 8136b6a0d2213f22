"""Which headers pass, in both directions."""

from __future__ import annotations

import pytest

from oxllm import __version__, plan
from oxllm.core import headers
from oxllm.core.protocols.chat import PROTOCOL

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
        b"x-ratelimit-remaining-requests",
        b"retry-after",
        b"retry-after-ms",
    ],
)
def test_content_headers_limits_and_hints_pass(name: bytes) -> None:
    assert headers.downstream([(name, b"v")], stream=False) == [(name, b"v")]


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
def test_nothing_else_passes(name: bytes) -> None:
    assert headers.downstream([(name, b"v")], stream=False) == []
    assert headers.downstream([(name, b"v")], stream=True) == headers.STREAM_HEAD


def test_the_providers_request_id_gets_a_name_of_its_own() -> None:
    assert headers.downstream([(b"x-request-id", b"r")], stream=False) == [(b"x-upstream-request-id", b"r")]


def test_of_two_fields_of_one_name_the_first_passes() -> None:
    """No client should have to choose: two parsers could choose differently."""
    twice = [(b"content-type", b"a/b"), (b"x-request-id", b"1"), (b"content-type", b"c/d"), (b"x-request-id", b"2")]
    assert headers.downstream(twice, stream=False) == [(b"content-type", b"a/b"), (b"x-upstream-request-id", b"1")]


def test_a_stream_has_our_spelling_of_its_type_once() -> None:
    passed = headers.downstream([(b"content-type", b"text/event-stream;charset=UTF-8")], stream=True)
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
