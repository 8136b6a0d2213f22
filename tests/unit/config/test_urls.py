"""Base URLs and origins."""

from __future__ import annotations

import pytest

from oxllm.config.problem import BadValueError
from oxllm.config.urls import Url, parse_base_url, parse_origin


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example.com/v1", Url("https", "api.example.com", 443, "/v1")),
        ("https://api.example.com/v1/", Url("https", "api.example.com", 443, "/v1")),
        ("https://api.example.com//openai/v1", Url("https", "api.example.com", 443, "/openai/v1")),
        (
            "https://proxy.example/https://api.example.com/v1",
            Url("https", "proxy.example", 443, "/https://api.example.com/v1"),
        ),
        ("HTTP://Api.Example.com", Url("http", "api.example.com", 80, "")),
        ("http://127.0.0.1:8000/", Url("http", "127.0.0.1", 8000, "")),
        ("http://[::1]:8000/a%20b", Url("http", "::1", 8000, "/a%20b")),
        ("http://[::1]/v1", Url("http", "::1", 80, "/v1")),
        ("https://bücher.example/ü", Url("https", "xn--bcher-kva.example", 443, "/%C3%BC")),
        ("http://10.0.0.1.nip.io", Url("http", "10.0.0.1.nip.io", 80, "")),
        ("http://gpu-7:8000/v1", Url("http", "gpu-7", 8000, "/v1")),
        ("http://my_host:1", Url("http", "my_host", 1, "")),
        ("http://host:/v1", Url("http", "host", 80, "/v1")),
    ],
)
def test_a_base_url_is_taken_apart(text: str, url: Url) -> None:
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://a", "is not an http or https URL"),
        ("api.example.com/v1", "is not an http or https URL"),
        ("", "is not an http or https URL"),
        ("https://", "has no host"),
        ("https://:443", "has no host"),
        ("https://me:sk-1@a", "has credentials in the URL"),
        ("https://a/v1?version=1", "has a query or a fragment"),
        ("https://a/v1#x", "has a query or a fragment"),
        ("https://a:0", "a port that is not a number"),
        ("https://a:65536", "a port that is not a number"),
        ("https://a:x", "a port that is not a number"),
        ("https://a:0100000", "a port that is not a number"),
        ("https://a b", "white space"),
        ("https://a\n", "white space"),
        ("https://[::1", "is not a URL"),
        ("https://a*b", "not a valid name"),
        (f"http://{'a.' * 130}com/v1", "has a host that is not a valid name"),
        ("http://10.0.0.300:8000/v1", "no IP address, and no name ends in a number"),
        ("http://0x7f.1/v1", "no IP address, and no name ends in a number"),
        ("https://" + "a" * 64, "not a valid name"),
    ],
)
def test_what_is_no_base_url_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadValueError, match=message):
        parse_base_url(text)


def test_an_origin_is_written_as_browsers_send_it() -> None:
    assert parse_origin("https://Chat.example.com/") == "https://chat.example.com"
    assert parse_origin("https://chat.example.com:443") == "https://chat.example.com"
    assert parse_origin("http://localhost:3000") == "http://localhost:3000"
    assert parse_origin("http://[::1]:3000") == "http://[::1]:3000"


@pytest.mark.parametrize("text", ["*", "null", "chat.example.com", "https://a/path", "https://a?b", "https://u@a"])
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        parse_origin(text)
