"""How long to soak (`--profile`), and the table of figures at the end of the run."""

from __future__ import annotations

import platform
from typing import NamedTuple

import pytest

from tests.support.processes import raise_open_files


class Profile(NamedTuple):
    """How long each load lasts and how long memory may take to come back."""

    name: str
    load_s: float
    settle_s: float


PROFILES = {"short": Profile("short", 15.0, 60.0), "long": Profile("long", 60.0, 60.0)}


class Figure(NamedTuple):
    """One line of the table. All in MB."""

    when: str
    measured: float
    limit: float
    note: str = ""


class Figures(list[Figure]):
    """What this run has measured."""

    def take(self, when: str, measured: float, limit: float, note: str = "") -> None:
        self.append(Figure(when, measured, limit, note))


_FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profile", choices=sorted(PROFILES), default="short", help="how long each load lasts")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()
    raise_open_files()


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.config.getoption("--profile")]


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[_FIGURES]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash[_FIGURES]
    if not figures:
        return
    terminalreporter.section(f"RSS in MB, CPython {platform.python_version()}")
    width = max(len(figure.when) for figure in figures)
    for when, measured, limit, note in figures:
        verdict = "" if measured < limit else "  OVER"
        terminalreporter.write_line(f"{when:<{width}}  {measured:6.1f}  under {limit:4.1f}{verdict}  {note}".rstrip())
