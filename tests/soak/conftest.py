"""How long to soak (`--profile`), and the table of figures at the end of the run."""

from __future__ import annotations

import platform
from typing import NamedTuple

import pytest

from tests.support.processes import raise_open_files


class Profile(NamedTuple):
    """How long each load lasts, how long memory may take to come back, and how much traffic must leave nothing."""

    name: str
    load_s: float
    settle_s: float
    hurry: bool
    """Whether to wait no longer than until it has come back far enough."""
    requests: int
    """Plain ones, and as many with a connection each."""
    others: int
    """Of each other kind."""
    reloads: int
    bytes_max: float
    """What a request may leave behind; less is noise over so few requests."""


PROFILES = {
    "short": Profile("short", 8.0, 60.0, True, 3_000, 3_000, 12, 200.0),
    "long": Profile("long", 60.0, 60.0, False, 200_000, 50_000, 100, 100.0),
}


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


class Growth(NamedTuple):
    """What one kind of traffic left behind, for each request."""

    what: str
    requests: int
    bytes: float
    heap: float


class Growths(list[Growth]):
    """What this run has seen grow, or not."""


_FIGURES = pytest.StashKey[Figures]()
_GROWTHS = pytest.StashKey[Growths]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--profile", choices=sorted(PROFILES), default="short", help="how long each load lasts")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()
    config.stash[_GROWTHS] = Growths()
    raise_open_files()


@pytest.fixture(scope="session")
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.config.getoption("--profile")]


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[_FIGURES]


@pytest.fixture(scope="session")
def growths(request: pytest.FixtureRequest) -> Growths:
    return request.config.stash[_GROWTHS]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[_FIGURES]:
        _tell_figures(terminalreporter, config.stash[_FIGURES])
    if config.stash[_GROWTHS]:
        _tell_growths(terminalreporter, config.stash[_GROWTHS])


def _tell_growths(terminalreporter: pytest.TerminalReporter, growths: Growths) -> None:
    terminalreporter.section(f"Growth a request, CPython {platform.python_version()}")
    for what, count, grown, heap in growths:
        terminalreporter.write_line(f"{what:<22} {count:>7,} {grown:9.1f} bytes of pages {heap:9.1f} of heap")


def _tell_figures(terminalreporter: pytest.TerminalReporter, figures: Figures) -> None:
    terminalreporter.section(f"RSS in MB, CPython {platform.python_version()}")
    width = max(len(figure.when) for figure in figures)
    for when, measured, limit, note in figures:
        verdict = "" if measured < limit else "  OVER"
        terminalreporter.write_line(f"{when:<{width}}  {measured:6.1f}  under {limit:4.1f}{verdict}  {note}".rstrip())
