"""Whose certificates are trusted, and that a command trusts the same as the gateway."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from oxllm.authorities import system_authorities
from oxllm.cli.probe import probe_all
from oxllm.cli.ways import ways
from oxllm.plan import Plan, Provider
from oxllm.sim.testing import Sim


def test_certificate_variables_are_all_that_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", "/some/bundle.pem")
    assert system_authorities() == ("/some/bundle.pem", None)
    monkeypatch.setenv("SSL_CERT_DIR", "/some/dir")
    assert system_authorities() == ("/some/bundle.pem", "/some/dir")


def test_a_variable_that_is_empty_is_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As `SSL_CERT_FILE: ${SSL_CERT_FILE:-}` leaves it in a compose file."""
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "/some/dir")
    assert system_authorities() == (None, "/some/dir")
    (tmp_path / "0a1b2c3d.0").write_text("")
    paths = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", "", "SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setenv("SSL_CERT_DIR", "")
    assert system_authorities() == (None, str(tmp_path))
    paths = ssl.DefaultVerifyPaths("", "", "SSL_CERT_FILE", str(tmp_path / "0a1b2c3d.0"), "SSL_CERT_DIR", "")
    assert system_authorities() == (str(tmp_path / "0a1b2c3d.0"), None)


def test_a_hashed_directory_is_preferred_to_a_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("")
    paths = ssl.DefaultVerifyPaths(str(bundle), str(tmp_path), "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    assert system_authorities() == (str(bundle), None)
    (tmp_path / "0a1b2c3d.0").write_text("")
    assert system_authorities() == (None, str(tmp_path))


def test_a_probe_trusts_whom_the_gateway_trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nobody beside: where a variable names some, OpenSSL itself would trust the system's as well."""
    for name in ("SSL_CERT_DIR", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Sim("alpha", tls=True) as sim:
        paths = ssl.DefaultVerifyPaths(str(sim.ca), "", "SSL_CERT_FILE", "", "SSL_CERT_DIR", "")
        monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
        plan = Plan(providers=(Provider("alpha", True, "127.0.0.1", sim.port("alpha"), "/v1"),))
        assert [probe.answer for probe in probe_all(plan)] == ["ok"]
        monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/bundle.pem")
        (probe,) = probe_all(plan)
        assert probe.answer.endswith("ca_file, or what SSL_CERT_FILE and SSL_CERT_DIR name, cannot be read")
        (_, found) = ways(plan)
        assert (found.state, found.fix) == (
            "failed",
            "put that right: the gateway reads the same, and trusts nobody beside",
        )
