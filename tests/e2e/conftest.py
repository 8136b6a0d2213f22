"""Nothing here goes through a proxy of the machine. What Node needs comes from npm, for these tests alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.gateway import CLEAN


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)


def installed(directory: Path, package: str) -> Path:
    """A directory with a package of npm in it. Skips where it cannot be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not installed")
    quick = ["--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-timeout=15000"]
    install = [npm, "install", *quick, "--prefix", str(directory), package]
    try:
        done = subprocess.run(install, capture_output=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not install {package} within 120 s")
    if done.returncode:
        pytest.skip(f"npm cannot install {package}: {done.stderr.decode(errors='replace').strip()[-200:]}")
    return directory


@pytest.fixture(scope="session")
def openai_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The openai SDK for Node."""
    return installed(tmp_path_factory.mktemp("openai-node"), "openai@7")
