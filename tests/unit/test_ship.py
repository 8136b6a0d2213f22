"""What a release is made with: the formula, the workflows, the packages."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from oxllm import __version__

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BREW = ROOT / "contrib" / "homebrew"
TEMPLATE = (BREW / "oxllm.rb").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")


def maker() -> Any:
    """contrib/homebrew/formula.py, which is no package."""
    spec = importlib.util.spec_from_file_location("formula", BREW / "formula.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The packages.


def test_the_image_is_built_from_all_that_the_package_needs() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["shared-data"], PROJECT["project"]["readme"], "pyproject.toml"]
    needed += [name for name in ("hatch_build.py",) if (ROOT / name).exists()]
    assert all(any(name == path or name.startswith(f"{path}/") for path in copied) for name in needed), needed


def test_the_lowest_releases_are_the_floors() -> None:
    floors = dict(each.split(">=") for each in PROJECT["project"]["dependencies"])
    lines = (ROOT / "tests" / "lowest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {name: _padded(version) for name, version in floors.items()} == {
        name: _padded(version) for name, version in pins.items()
    }


def _padded(version: str) -> tuple[int, ...]:
    parts = [int(part) for part in version.split(".")]
    return (*parts, *[0] * (3 - len(parts)))


def test_there_is_one_version() -> None:
    kubernetes = (ROOT / "contrib" / "kubernetes.yaml").read_text(encoding="utf-8")
    assert PROJECT["project"]["version"] == __version__
    assert re.findall(r"image: oxllm:(\S+)", kubernetes) == [__version__]


def test_the_sdist_has_all_that_its_tests_read() -> None:
    included = {name.strip("/") for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    read = {"oxllm", "tests", "tox.ini"}
    for file in (ROOT / "tests").rglob("test_*.py"):
        read |= set(re.findall(r'(?:ROOT|parents\[\d\]) / "([^"]+)"', file.read_text(encoding="utf-8")))
    assert {name for name in read if (ROOT / name).exists()} - {"pyproject.toml"} <= included
    assert all((ROOT / name).exists() for name in included)


def test_the_image_is_built_from_what_the_context_lets_through() -> None:
    allowed = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE))
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in dockerfile.splitlines() if re.match(r"COPY (?!--from)", line)]
    assert {name for names in copied for name in names} == allowed
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], "hatch_build.py"} <= allowed
    assert {Path(name).parent.as_posix() for name in wheel["shared-data"]} <= allowed


def builder() -> Any:
    """hatch_build.py, which is no package."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_compiled_modules_do_once_is_set_apart(tmp_path: Path) -> None:
    header = tmp_path / "header.h"
    often = "extern char CPyDef_chat___Reader___feed(PyObject *cpy_r_self);"
    once = "extern char CPyDef_chat_____top_level__(void)"
    header.write_text(f"{often}\n{once};\n", encoding="utf-8")
    builder().set_apart(header)
    assert header.read_text(encoding="utf-8") == f"{often}\n{once} __attribute__((cold));\n"


@pytest.mark.parametrize(
    ("asked", "compiler", "how"),
    [
        (None, "/bin/sh", "if possible"),
        (None, "/nowhere/cc", "no"),
        ("", "/bin/sh", "if possible"),
        ("1", "/bin/sh -pthread", "if possible"),
        ("1", "/nowhere/cc", "no"),
        ("0", "/bin/sh", "no"),
        ("required", "/nowhere/cc", "required"),
    ],
)
def test_it_is_compiled_where_there_is_a_compiler_unless_one_asks_otherwise(
    asked: str | None, compiler: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if asked is None:
        monkeypatch.delenv("OXLLM_COMPILE", raising=False)
    else:
        monkeypatch.setenv("OXLLM_COMPILE", asked)
    monkeypatch.setenv("CC", compiler)
    build = builder()
    if not build.headers().exists():  # they are a package of their own in some distributions
        how = how.replace("if possible", "no")
    assert build.wanted() == how


def test_another_word_than_these_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXLLM_COMPILE", "yes please")
    with pytest.raises(ValueError, match="OXLLM_COMPILE is 0, 1 or required, not 'yes please'"):
        builder().wanted()


# The formula.


def test_the_formula_is_as_homebrew_audits_it() -> None:
    description = re.search(r'^  desc "(.*)"$', TEMPLATE, re.MULTILINE)
    assert description is not None
    assert len(description[1]) <= 80
    assert not re.match(r"(?i)(an?|the|oxllm)\b", description[1])
    assert not description[1].endswith(".")
    assert f'license "{PROJECT["project"]["license"]}"' in TEMPLATE
    order = [
        TEMPLATE.index(part) for part in ("  desc", "  homepage", "  url", "  sha256", "  license", "  depends_on")
    ]
    assert order == sorted(order)
    blocks = [TEMPLATE.index(part) for part in ("# @RESOURCES@", "def install", "service do", "test do")]
    assert blocks == sorted(blocks)
    openers = re.findall(r"\b(?:class|def|do|begin|if)\b(?! not)", re.sub(r"#.*|\"[^\"]*\"", "", TEMPLATE))
    assert len(openers) == len(re.findall(r"^\s*end$", TEMPLATE, re.MULTILINE))


HASH = "ab" * 32
PAGES = {
    "click": [("click-8.1.0.tar.gz", "c0"), ("click-8.2.0-py3-none-any.whl", "c1"), ("click-8.2.0.tar.gz", HASH)],
    "pydantic-core": [("pydantic_core-2.0.0.zip", "p0"), ("pydantic_core-2.0.0.tar.gz", HASH)],
    "wheels-only": [("wheels_only-1.0-py3-none-any.whl", "w")],
}


def ask(url: str) -> Any:
    name = url.removesuffix("/").rpartition("/")[2]
    return {
        "files": [{"filename": f, "url": f"https://x.example/{f}", "hashes": {"sha256": h}} for f, h in PAGES[name]]
    }


def test_a_release_fills_in_its_address_its_checksum_and_a_block_for_each_package(tmp_path: Path) -> None:
    source = tmp_path / "oxllm-0.1.0.tar.gz"
    source.write_bytes(b"source")
    packages = [("click", "8.2.0"), ("pydantic-core", "2.0.0")]
    made = maker().formula(TEMPLATE, source, "https://home.example", packages, ask)
    assert made.startswith("class Oxllm < Formula\n")
    assert "@" not in re.sub(r"python@3\.\d+", "", made), "no mark is left"
    assert re.findall(r'^  url "(.*)"', made, re.MULTILINE) == [
        "https://files.pythonhosted.org/packages/source/o/oxllm/oxllm-0.1.0.tar.gz"
    ]
    assert f'sha256 "{"41cf6794ba4200b839c53531555f0f3998df4cbb01a4d5cb0b94e3ca5e23947d"}"' in made
    assert (
        f'  resource "click" do\n    url "https://x.example/click-8.2.0.tar.gz"\n    sha256 "{HASH}"\n  end\n' in made
    )
    assert "pydantic_core-2.0.0.tar.gz" in made


def test_a_package_without_a_source_is_an_error_not_a_hole() -> None:
    with pytest.raises(LookupError, match=r"wheels-only 1\.0 has no sdist"):
        maker().sdist("wheels-only", "1.0", ask)


# The workflows.


def jobs(text: str) -> dict[str, str]:
    """The text of each job of a workflow, by name."""
    parts = re.split(r"^  ([a-z]+):\n", text.split("\njobs:\n", 1)[1], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_may_read_and_no_more_unless_a_job_says_so(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert re.search(r"^permissions:\n  contents: read\n(?=\S)", text, re.MULTILINE)
    assert "secrets." not in text
    assert all("timeout-minutes:" in job for job in jobs(text).values())
    assert text.count("actions/checkout@") == text.count("persist-credentials: false"), "no token stays in a work tree"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_the_actions_of_others_are_pinned_to_a_commit(file: Path) -> None:
    for action, version in re.findall(r"uses: ([\w./-]+)@(.+)$", file.read_text(encoding="utf-8"), re.MULTILINE):
        wanted = r"v\d+" if action.startswith("actions/") else r"[0-9a-f]{40} # v\d+\.\d+\.\d+"
        assert re.fullmatch(wanted, version), f"{action}@{version}"


def test_each_job_of_a_release_may_do_only_its_own() -> None:
    parts = jobs(RELEASE)
    granted = {name: re.findall(r"^      ([a-z-]+): write", job, re.MULTILINE) for name, job in parts.items()}
    assert granted == {
        "build": [],
        "wheels": [],
        "test": [],
        "pypi": ["id-token"],
        "image": ["packages"],
        "release": ["contents"],
    }


def test_nothing_is_published_before_its_tests() -> None:
    needs = {name: re.findall(r"^    needs: \[?(.*?)\]?$", job, re.MULTILINE) for name, job in jobs(RELEASE).items()}
    assert needs == {
        "build": [],
        "wheels": ["build"],
        "test": ["build"],
        "pypi": ["test, wheels"],
        "image": ["test"],
        "release": ["pypi, image"],
    }
    assert re.search(r'^on:\n  push:\n    tags: \["v\*"\]\n(?=\S)', RELEASE, re.MULTILINE)
