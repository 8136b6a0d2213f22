"""Fills in the Homebrew formula of a release:

    python contrib/homebrew/formula.py dist/oxllm-0.1.0.tar.gz --homepage https://... > oxllm.rb

Which packages oxllm needs, and in which version, is what pip resolves for its wheel beside the sdist. Homebrew builds
from source, so each one's address and checksum are those of its sdist, from the index's JSON
(https://packaging.python.org/en/latest/specifications/simple-repository-api/). Standard library and pip only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("oxllm.rb")
INDEX = "https://pypi.org/simple"
SDISTS = "https://files.pythonhosted.org/packages/source"
"""Where an sdist is found by its name, before anybody knows its hash."""
ACCEPT = "application/vnd.pypi.simple.v1+json"

Ask = Callable[[str], Any]
"""URL -> the JSON that it answers."""


def resolved(wheel: Path) -> list[tuple[str, str]]:
    """Name and version of each package that pip would install for `wheel`, itself left out."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    answer = subprocess.run([*command, str(wheel)], check=True, stdout=subprocess.PIPE)  # noqa: S603 - pip
    report = json.loads(answer.stdout)
    found = [(item["metadata"]["name"], item["metadata"]["version"]) for item in report["install"]]
    return sorted((normal(name), version) for name, version in found if normal(name) != "oxllm")


def normal(name: str) -> str:
    """A name as the index spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def sdist(name: str, version: str, ask: Ask) -> tuple[str, str]:
    """Address and SHA-256 of a package's source. LookupError if it has none."""
    page = ask(f"{INDEX}/{name}/")
    for file in page["files"]:
        stem = file["filename"].removesuffix(".tar.gz")
        if stem != file["filename"] and normal(stem) == normal(f"{name}-{version}"):
            return file["url"], file["hashes"]["sha256"]
    raise LookupError(f"{name} {version} has no sdist")


def resource(name: str, url: str, sha256: str) -> str:
    """The block of one package."""
    return f'  resource "{name}" do\n    url "{url}"\n    sha256 "{sha256}"\n  end\n'


def formula(template: str, source: Path, homepage: str, packages: Iterable[tuple[str, str]], ask: Ask) -> str:
    """The formula of the sdist `source`."""
    blocks = [resource(name, *sdist(name, version, ask)) for name, version in packages]
    text = template[template.index("class ") :]
    values = {
        "@HOMEPAGE@": homepage,
        "@URL@": f"{SDISTS}/o/oxllm/{source.name}",
        "@SHA256@": hashlib.sha256(source.read_bytes()).hexdigest(),
        "  # @RESOURCES@\n": "\n".join(blocks),
    }
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def ask_index(url: str) -> Any:
    """The index's answer."""
    request = urllib.request.Request(url, headers={"accept": ACCEPT})  # noqa: S310 - https
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def main(arguments: list[str]) -> None:
    """Print it."""
    parser = argparse.ArgumentParser(description="Fill in the Homebrew formula of a release.")
    parser.add_argument("sdist", type=Path)
    parser.add_argument("--homepage", required=True)
    options = parser.parse_args(arguments)
    (wheel,) = options.sdist.parent.glob("oxllm-*.whl")
    template = TEMPLATE.read_text(encoding="utf-8")
    sys.stdout.write(formula(template, options.sdist, options.homepage, resolved(wheel), ask_index))


if __name__ == "__main__":
    main(sys.argv[1:])
