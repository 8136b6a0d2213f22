"""Proxies from the environment, as curl reads it."""

from __future__ import annotations

import pytest

from oxllm.config.problem import BadValueError
from oxllm.config.proxies import parse_proxy, proxy_variable
from oxllm.plan import Proxy
from tests.unit.config.conftest import Load


@pytest.mark.parametrize(
    ("env", "tls", "variable"),
    [
        ({}, True, None),
        ({"https_proxy": "p", "HTTPS_PROXY": "P", "ALL_PROXY": "A"}, True, "https_proxy"),
        ({"HTTPS_PROXY": "P", "all_proxy": "a"}, True, "HTTPS_PROXY"),
        ({"https_proxy": "", "HTTPS_PROXY": "P"}, True, "HTTPS_PROXY"),
        ({"ALL_PROXY": "A", "all_proxy": "a", "http_proxy": "h"}, True, "all_proxy"),
        ({"ALL_PROXY": "A"}, False, "ALL_PROXY"),
        ({"http_proxy": "h", "ALL_PROXY": "A"}, False, "http_proxy"),
        ({"HTTP_PROXY": "H", "HTTPS_PROXY": "P"}, False, None),
    ],
)
def test_the_variable_depends_on_the_scheme(env: dict[str, str], tls: bool, variable: str | None) -> None:
    assert proxy_variable(env, tls, "api.example.com") == variable


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("*", "api.example.com", True),
        (" * ", "10.0.0.1", True),
        ("example.com", "example.com", True),
        ("example.com", "api.Example.com", True),
        (".example.com", "api.example.com", True),
        (".example.com", "example.com", True),
        ("example.com", "badexample.com", False),
        ("example.com", "example.com.evil", False),
        ("a.b, example.com", "example.com", True),
        ("a.b example.com", "example.com", True),
        ("example.com.", "example.com", True),
        ("*.example.com", "api.example.com", False),
        ("", "example.com", False),
        (",,", "example.com", False),
        ("localhost", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("10.0.0.0/8", "10.2.3.4", True),
        ("10.0.0.0/8", "11.2.3.4", False),
        ("10.1.2.3/8", "10.2.3.4", True),
        ("fd00::/8", "fd12::1", True),
        ("[::1]", "::1", True),
        ("::1", "::1", True),
        ("10.0.0.0/99", "10.2.3.4", False),
        ("0.0.1", "10.0.0.1", False),
    ],
)
def test_no_proxy_names_what_is_asked_directly(no_proxy: str, host: str, direct: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        assert (proxy_variable({"HTTPS_PROXY": "p", name: no_proxy}, True, host) is None) is direct


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.corp:3128", Proxy("proxy.corp", 3128)),
        ("HTTP://proxy.corp:3128/ignored", Proxy("proxy.corp", 3128)),
        ("proxy.corp:3128", Proxy("proxy.corp", 3128)),
        ("proxy.corp", Proxy("proxy.corp", 1080)),
        ("http://[fd00::1]:8080", Proxy("fd00::1", 8080)),
        ("http://me:p%40ss@proxy:1", Proxy("proxy", 1, "Basic bWU6cEBzcw==")),
    ],
)
def test_a_proxy_is_host_port_and_credentials(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "socks5://p:1",
        "https://p:443",
        "http://",
        "http://:80",
        "http://p:99999",
        "http://p:x",
        "http://a b",
        "http://[x]:1",
        "http://[::1:3128",
        "http://[::1",
        "http://[::1]x:3128",
    ],
)
def test_what_is_no_http_proxy_is_refused(text: str) -> None:
    with pytest.raises(BadValueError):
        parse_proxy(text)


PROVIDERS = """
[[providers]]
name = "env"
base_url = "https://api.example.com"
[[providers]]
name = "own"
base_url = "https://api.example.com"
proxy = "http://own:1"
[[providers]]
name = "none"
base_url = "https://api.example.com"
proxy = ""
[[providers]]
name = "exempt"
base_url = "http://127.0.0.1:8000"
"""


def test_a_providers_own_proxy_is_over_the_environments(load_text: Load) -> None:
    loaded = load_text(PROVIDERS, all_proxy="http://env:3128", NO_PROXY="127.0.0.0/8")
    assert loaded.plan is not None
    proxies = {provider.name: provider.proxy for provider in loaded.plan.providers}
    assert proxies == {"env": Proxy("env", 3128), "own": Proxy("own", 1), "none": None, "exempt": None}


def test_a_proxy_of_another_kind_in_the_environment_is_an_error_not_a_detour(load_text: Load) -> None:
    loaded = load_text(PROVIDERS, HTTPS_PROXY="socks5://user:hush@p:1")
    assert str(loaded.errors[0]) == (
        "config.toml:2: error: providers[0].proxy: the proxy in HTTPS_PROXY is not an http proxy: only http:// "
        'proxies are spoken to (by CONNECT); change HTTPS_PROXY, or write proxy = "" to go without'
    )
