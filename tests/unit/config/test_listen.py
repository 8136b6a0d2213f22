"""What host and bind_family mean together."""

from __future__ import annotations

import pytest

from oxllm.config.listen import addresses, is_public
from oxllm.config.problem import BadValueError


@pytest.mark.parametrize(
    ("host", "family", "listen"),
    [
        (None, None, ("ipv4", ("127.0.0.1",))),
        (None, "ipv6", ("ipv6", ("::1",))),
        (None, "dual", ("dual", ("127.0.0.1", "::1"))),
        ("localhost", None, ("ipv4", ("127.0.0.1",))),
        ("localhost", "ipv6", ("ipv6", ("::1",))),
        ("localhost", "dual", ("dual", ("127.0.0.1", "::1"))),
        ("127.0.0.1", "dual", ("dual", ("127.0.0.1", "::1"))),
        ("::1", "dual", ("dual", ("127.0.0.1", "::1"))),
        ("::1", None, ("ipv6", ("::1",))),
        ("[::1]", "ipv6", ("ipv6", ("::1",))),
        ("0.0.0.0", None, ("ipv4", ("0.0.0.0",))),
        ("0.0.0.0", "dual", ("dual", ("::",))),
        ("::", None, ("dual", ("::",))),
        ("::", "dual", ("dual", ("::",))),
        ("::", "ipv6", ("ipv6", ("::",))),
        ("192.0.2.1", "ipv4", ("ipv4", ("192.0.2.1",))),
        ("2001:db8::1", None, ("ipv6", ("2001:db8::1",))),
        ("gateway.lan", None, ("dual", ("gateway.lan",))),
        ("gateway.lan", "ipv4", ("ipv4", ("gateway.lan",))),
    ],
)
def test_host_decides_what_is_bound(host: str | None, family: str | None, listen: tuple[str, tuple[str, ...]]) -> None:
    assert addresses(host, family) == listen


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("::1", "ipv4"),
        ("127.0.0.1", "ipv6"),
        ("0.0.0.0", "ipv6"),
        ("::", "ipv4"),
        ("192.0.2.1", "dual"),
        ("2001:db8::1", "dual"),
    ],
)
def test_a_family_that_contradicts_the_host_is_an_error(host: str, family: str) -> None:
    with pytest.raises(BadValueError, match="contradicts host"):
        addresses(host, family)


def test_only_loopback_addresses_are_not_public() -> None:
    assert not is_public(("127.0.0.1", "::1"))
    assert not is_public(("127.9.9.9",))
    assert is_public(("::",))
    assert is_public(("127.0.0.1", "192.168.0.1"))
    assert is_public(("gateway.lan",))
