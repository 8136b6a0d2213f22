"""Which gateway a command means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from oxllm import runfile
from oxllm.cli.find import Gateway, by_pid, find
from oxllm.cli.options import Ambiguous
from oxllm.runfile import RunFile
from tests.unit.cli.conftest import Run


class Gateways:
    """Run files of this very process, under other ports: alive, and nothing listens."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack

    def add(self, port: int, where: str = "run/oxllm", host: str = "127.0.0.1", *listen: str) -> RunFile:
        path = self.directory / where
        pid = os.getpid()
        run = RunFile(pid, runfile.start_time(pid), 0.0, host, port, f"token-{port}", f"/etc/{port}.toml", listen)
        held = self.stack.enter_context(runfile.write(str(path), run))
        other = path / f"oxllm-{port}{len(list(path.iterdir()))}.json"
        os.rename(held.path, other)  # one process, several files
        held.path = str(other)
        return run


@pytest.fixture
def gateways(run: Run, tmp_path: Path) -> Iterator[Gateways]:
    with ExitStack() as stack:
        yield Gateways(tmp_path, stack)


def test_url_and_port_name_it(gateways: Gateways) -> None:
    gateways.add(9001)
    assert find("http://gw.example:81/base/", None) == Gateway("http://gw.example:81/base")
    assert find("gw.example", None) == Gateway("http://gw.example:80")
    assert find(None, 9002) == Gateway("http://127.0.0.1:9002")
    assert find("http://[::1]:9002", None) == Gateway("http://[::1]:9002")


def test_a_named_gateway_of_this_machine_gets_the_token_of_its_run_file(gateways: Gateways) -> None:
    known = Gateway("http://127.0.0.1:9001", "token-9001", gateways.add(9001))
    assert find(None, 9001) == known
    assert find("http://localhost:9001", None) == known


@pytest.mark.parametrize(
    "url", ["http://elsewhere.example:9001", "http://[::1]:9001", "https://127.0.0.1:9001", "http://127.0.0.1:9002"]
)
def test_the_token_goes_to_no_address_but_that_of_the_run_file(gateways: Gateways, url: str) -> None:
    gateways.add(9001)
    assert (find(url, None).token, find(url, None).run) == (None, None)


@pytest.mark.parametrize(
    ("listen", "url", "its"),
    [
        (("127.0.0.1", "::1"), "http://[::1]:9001", True),
        (("0.0.0.0",), "http://127.0.0.1:9001", True),
        (("::", "0.0.0.0"), "http://[::1]:9001", True),
        (("::", "0.0.0.0"), "http://192.0.2.1:9001", False),
        (("::1",), "http://127.0.0.1:9001", False),
    ],
)
def test_all_addresses_of_a_gateway_are_its_own(
    gateways: Gateways, listen: tuple[str, ...], url: str, its: bool
) -> None:
    gateways.add(9001, "run/oxllm", "::1" if listen[0] in ("::", "::1") else "127.0.0.1", *listen)
    assert (find(url, None).run is not None) == its


def test_the_environments_token_goes_where_a_url_says(gateways: Gateways) -> None:
    env = {"OXLLM_ADMIN_TOKEN": "tok", "XDG_RUNTIME_DIR": "/nowhere"}
    assert find("https://gw.example", None, env).token == "tok"
    assert find(None, None, {**env, "OXLLM_URL": "https://gw.example"}).token == "tok"
    assert find(None, 9001, env).token is None
    assert find(None, None, env).token is None


def test_the_environment_names_it_when_no_option_does(gateways: Gateways) -> None:
    assert find(None, None, {"OXLLM_URL": "http://a:1"}).url == "http://a:1"
    assert find(None, None, {"OXLLM_PORT": "9002"}).url == "http://127.0.0.1:9002"
    assert find(None, 9003, {"OXLLM_URL": "http://a:1"}).url == "http://127.0.0.1:9003"


def test_two_names_or_a_bad_one_are_wrong_usage(gateways: Gateways) -> None:
    for url, port in (("http://a", 1), ("http://", None), ("ftp://a", None), ("http://[", None)):
        with pytest.raises(click.UsageError):
            find(url, port)
    for text in ("x", "0", "65536", "0100000", "²"):
        with pytest.raises(click.UsageError):
            find(None, None, {"OXLLM_PORT": text})


def test_ones_own_run_file_comes_before_the_systems(gateways: Gateways) -> None:
    gateways.add(9002, "system")
    assert find(None, None).url == "http://127.0.0.1:9002"
    own = gateways.add(9001)
    assert find(None, None) == Gateway("http://127.0.0.1:9001", "token-9001", own)


def test_an_ipv6_address_gets_its_brackets(gateways: Gateways) -> None:
    gateways.add(9001, host="::1")
    assert find(None, None).url == "http://[::1]:9001"


def test_several_are_listed_and_none_is_chosen(gateways: Gateways, run: Run) -> None:
    gateways.add(9001)
    gateways.add(9002)
    with pytest.raises(Ambiguous):
        find(None, None)
    result = run("status")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "oxllm: several gateways are running; say which one:",
        f"  oxllm status -p 9001   pid {os.getpid()}   /etc/9001.toml",
        f"  oxllm status -p 9002   pid {os.getpid()}   /etc/9002.toml",
    ]


def test_what_to_type_names_one_of_two_at_the_same_port(gateways: Gateways, run: Run) -> None:
    gateways.add(9001)
    gateways.add(9001, "run/oxllm", "::1")
    result = run("explain", "-p", "9001", "a b")
    assert result.exit_code == 2
    assert "  oxllm explain 'a b' --url http://127.0.0.1:9001   pid" in result.stderr
    assert "  oxllm explain 'a b' --url 'http://[::1]:9001'   " in result.stderr
    assert find("http://[::1]:9001", None).url == "http://[::1]:9001"


def test_without_a_run_file_it_is_the_configured_port_then_8080(run: Run, config: Path) -> None:
    config.write_text(f"[server]\nport = 9004\nadmin_token = 'tok'\n{config.read_text()}")
    assert find(None, None) == Gateway("http://127.0.0.1:9004"), "whoever is there, the token is not for them"
    config.write_text("broken")
    assert find(None, None) == Gateway("http://127.0.0.1:8080")
    config.unlink()
    assert find(None, None) == Gateway("http://127.0.0.1:8080")


def test_a_process_number_finds_its_run_file(gateways: Gateways) -> None:
    gateways.add(9001)
    found = by_pid(os.getpid())
    assert found is not None
    assert found.url == "http://127.0.0.1:9001"
    assert by_pid(1) is None


def test_a_gateway_does_not_show_its_token() -> None:
    assert "hush" not in repr(Gateway("http://a", "hush"))
