"""`oxllm status`: what it prints, and where."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Self

import httpx
import msgspec
import pytest
import respx
from click.testing import Result

from oxllm.cli import screen
from oxllm.cli import watch as watching
from oxllm.cli.find import Gateway
from oxllm.cli.options import Failure
from oxllm.cli.watch import Watch as Watched
from oxllm.grid import BAD, GOOD, HEAD
from oxllm.status import ModelStatus, ProviderStatus, Status, TargetStatus
from oxllm.table import table
from tests.unit.cli.conftest import OURS, Run

URL = "http://127.0.0.1:9001"
STATUS = Status(
    "0.1.0",
    42,
    100.0,
    listen=(URL,),
    providers=(ProviderStatus("alpha", attempts=10, successes=10), ProviderStatus("日本", state="open")),
)


def respond(status: Status, **more: object) -> httpx.Response:
    return httpx.Response(200, headers=OURS, json=msgspec.to_builtins(status) | more)


def test_the_table_goes_to_a_pipe_whole_and_without_escape_codes(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status").mock(return_value=respond(STATUS))
    result = run("status", "-p", "9001")
    assert (result.exit_code, result.stdout) == (0, table(STATUS, None))


def test_json_is_what_the_gateway_said_unknown_keys_too(run: Run, http: respx.MockRouter) -> None:
    http.get(f"{URL}/status", params={"format": "json"}).mock(return_value=respond(STATUS, new=1))
    printed = run("status", "-p", "9001", "--json").stdout
    assert printed.endswith("}\n")
    assert json.loads(printed)["new"] == 1


def test_what_answers_but_is_no_status_is_not_oxllm(run: Run, http: respx.MockRouter) -> None:
    for text in ("<html>", "[]", '{"ok":true}'):
        http.get(f"{URL}/status").respond(headers=OURS, text=text)
        result = run("status", "-p", "9001")
        assert (result.exit_code, result.stderr) == (3, f"oxllm: what answers at {URL} is not oxllm\n")


Watch = Callable[..., tuple[Result, list[float]]]


@pytest.fixture
def watch(run: Run, http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> Watch:
    """`status --watch` where the gateway says these things; Ctrl-C after the last."""

    def watch(answers: list[httpx.Response | Exception], *options: str) -> tuple[Result, list[float]]:
        http.get(f"{URL}/status").mock(side_effect=answers)
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == len(answers):
                raise KeyboardInterrupt

        monkeypatch.setattr(time, "sleep", sleep)
        return run("status", "-p", "9001", "--watch", *options), naps

    return watch


LATER = msgspec.structs.replace(STATUS, uptime=102.0, providers=(ProviderStatus("alpha", attempts=16, successes=16),))


def test_watching_shows_rates_since_the_last_page_until_ctrl_c(watch: Watch) -> None:
    result, naps = watch([respond(STATUS), respond(LATER)])
    assert (result.exit_code, naps) == (0, [2.0, 2.0])
    assert result.stdout == table(STATUS, None) + "\n" + table(LATER, None, earlier=STATUS)
    assert "3.0" in result.stdout


def test_on_a_low_terminal_the_verdict_is_still_about_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    served = tuple(ModelStatus(f"m{i}", targets=(TargetStatus("alpha/m"),)) for i in range(9))
    out = ModelStatus("out", targets=(TargetStatus("alpha/m", state="offline"),))
    pages = Pages()
    monkeypatch.setattr(watching, "Screen", lambda: pages)
    monkeypatch.setattr(watching, "Keys", lambda live: Pressed("q"))
    monkeypatch.setattr(watching, "lines", lambda: 12)
    status = msgspec.structs.replace(STATUS, models=(*served, out))
    Watched(lambda: Gateway(URL), lambda: status, 2.0).run(status)
    assert "not shown" in pages[0]
    assert pages[0].startswith("9 of 10 models served, not out; ")


def test_watching_outlives_a_gateway_that_goes_and_comes_back(watch: Watch) -> None:
    back = msgspec.structs.replace(STATUS, pid=43, uptime=1.0)
    result, _ = watch([respond(STATUS), httpx.ConnectError("gone"), httpx.ReadTimeout("slow"), respond(back)])
    pages = result.stdout.split("\n\noxllm: ")[0]
    assert result.exit_code == 0
    assert f"not running: nothing answers at {URL}, for 2 s now; the last that was seen:\nserving 2 providers" in pages
    assert result.stdout.endswith(table(back, None)), "and no rates over the restart"


def test_watching_begins_only_where_there_is_one(watch: Watch) -> None:
    result, naps = watch([httpx.ConnectError("gone")])
    assert (result.exit_code, naps) == (3, [])


def test_watching_as_json_is_a_line_a_status(watch: Watch) -> None:
    result, _ = watch([respond(STATUS), httpx.ConnectError("gone"), respond(LATER)], "--json")
    assert [json.loads(line)["uptime"] for line in result.stdout.splitlines()] == [100.0, 102.0]


def test_a_note_goes_with_what_it_was_about(http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch) -> None:
    note = "no target of smart is left"
    http.post(f"{URL}/admin/providers/alpha/offline").respond(headers=OURS, json={"warnings": [note]})
    model = ModelStatus("smart", targets=(TargetStatus("alpha/m", state="offline"),))
    well = msgspec.structs.replace(STATUS, uptime=104.0)
    out = msgspec.structs.replace(well, models=(model,))
    restarted = msgspec.structs.replace(out, uptime=1.0)
    ends: list[Status | Failure] = [well, restarted, Failure("gone")]
    for end in ends:
        pages = Pages()
        monkeypatch.setattr(watching, "Screen", lambda pages=pages: pages)
        monkeypatch.setattr(watching, "Keys", lambda live: Pressed("j", "o", "", "", "q"))
        answers = iter([out, msgspec.structs.replace(out, uptime=105.0), end])
        Watched(lambda: Gateway(URL), lambda answers=answers: next(answers), 2.0).run(STATUS)  # type: ignore[misc]
        assert [note in page for page in pages] == [False, False, True, True, False]


@pytest.mark.parametrize("width", [60, 80, None])
def test_the_id_of_a_failed_request_is_there_to_copy_on_any_width(
    http: respx.MockRouter, monkeypatch: pytest.MonkeyPatch, width: int | None
) -> None:
    steps = [{"target": "alpha/" + "m" * 30, "result": "connection closed: in the body"}]
    made = f"oxllm-{'7' * 20}"
    http.get(f"{URL}/requests").respond(headers=OURS, json={"requests": [{"id": made, "time": 0, "steps": steps}]})
    pages = Pages()
    monkeypatch.setattr(watching, "Screen", lambda: pages)
    monkeypatch.setattr(watching, "Keys", lambda live: Pressed("j", "enter", "q"))
    monkeypatch.setattr(watching, "columns", lambda: width)
    Watched(lambda: Gateway(URL), lambda: STATUS, 2.0).run(STATUS)
    (line,) = (line for line in pages[-1].splitlines() if made[:8] in line)
    assert f" {made}  alpha/mmm" in line
    assert width is None or len(line) <= width


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_that_the_gateway_is_gone_is_said_in_whole_words_on_any_width(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    pages = Pages()
    monkeypatch.setattr(watching, "Screen", lambda: pages)
    monkeypatch.setattr(watching, "Keys", lambda live: Pressed("", "q"))
    monkeypatch.setattr(watching, "columns", lambda: width)
    gone = Failure("not running: nothing answers at http://127.0.0.1:18080")
    Watched(lambda: Gateway(URL), lambda: gone, 2.0).run(STATUS)
    first = pages[-1].splitlines()[0]
    assert len(first) <= width
    assert re.search(r"for \d+ s\b.*:$", first), first


class Pages(list[str]):
    """A screen that keeps what was drawn."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def draw(self, page: str) -> None:
        self.append(page)


class Pressed:
    """Keys that are pressed one after another; "" is none for so long."""

    live = True

    def __init__(self, *keys: str) -> None:
        self._keys = iter(keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, seconds: float) -> str:
        return next(self._keys)


class Terminal(io.TextIOWrapper):
    """A terminal of 24 lines of 80 columns, as far as a program can see."""

    def isatty(self) -> bool:
        return True

    def written(self) -> str:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode(self.encoding)


def stdout(monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> Terminal:
    """The test's stdout from here on. (No fixture: pytest sets its own between a test's fixtures and the test.)"""
    out = Terminal(io.BytesIO(), encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", out)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "80"), ("LINES", "24")):
        monkeypatch.setenv(name, value)
    return out


def test_a_page_is_drawn_in_one_write_over_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = stdout(monkeypatch)
    with screen.Screen() as drawn:
        drawn.draw("one\ntwo\n")
        before = len(terminal.written())
        drawn.draw("three\n")
        assert terminal.written()[before:] == "\x1b[H\x1b[Jthree"
    assert terminal.written().startswith("\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[H\x1b[Kone\r\n\x1b[Jtwo")
    assert terminal.written().endswith("\x1b[?25h\x1b[?7h\x1b[?1049lthree\n")


def test_a_page_longer_than_the_terminal_says_how_much_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = stdout(monkeypatch)
    with screen.Screen() as drawn:
        drawn.draw("line\n" * 30)
        page = terminal.written().split("\x1b[H")[1]
    assert page.count("\r\n") == 23
    assert page.endswith("\x1b[J... 7 more lines")


def test_the_terminal_is_put_right_when_it_is_terminated(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = stdout(monkeypatch)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, screen.Screen():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    assert terminal.written().endswith("\x1b[?1049l")


def test_moods_have_colours_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout(monkeypatch)
    assert screen.paint("ok", GOOD) == "\x1b[32mok\x1b[0m"
    assert screen.paint("no", BAD) == "\x1b[31mno\x1b[0m"
    assert screen.paint("TITLE", HEAD) == "\x1b[1mTITLE\x1b[0m"
    assert screen.columns() == 80
    monkeypatch.setenv("TERM", "dumb")
    assert screen.paint("ok", GOOD) == "ok"
    assert screen.columns() is None


def test_what_the_terminal_cannot_spell_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    out = stdout(monkeypatch, "ascii")
    screen.show("日 ok\n")
    assert out.written() == "\\u65e5 ok\n"


@pytest.mark.parametrize("width", [40, 65, 66, 200])
def test_the_keys_of_watch_are_all_named_on_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr(watching, "columns", lambda: width)
    assert len(watching.help_line()) <= width
    assert re.findall(r"(?:^|  )(\S+)", watching.help_line()) == ["j/k", "Enter", "o", "r", "q"]
