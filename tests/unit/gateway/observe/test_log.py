"""The log: never blocks, loses what it must and says so, is not forged, tells no secret."""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from oxllm.gateway.observe.log import QUEUE_MAX, Log
from oxllm.gateway.observe.sink import NonBlocking, Sink, Threaded, sink_of
from tests.support.house import EVENT_STREAM, WALL, House, answer, plan_of, stream, token
from tests.support.scripted import HANG, RESET
from tests.support.user import eventually
from tests.support.virtual import VirtualLoop


class Pipe:
    """A log into a pipe of which the test reads the other end."""

    def __init__(self, json: bool = False) -> None:
        self.loop = VirtualLoop()
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(self.writing, False)
        self.log = Log(self.loop, NonBlocking(self.writing), lambda: WALL, json)

    def read(self) -> str:
        data = b""
        while True:
            try:
                part = os.read(self.reading, 1 << 16)
            except BlockingIOError:
                return data.decode()
            if not part:
                return data.decode()
            data += part

    def later(self, seconds: float = 1.0) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.loop.close()
    os.close(pipe.reading)
    os.close(pipe.writing)


def test_lines_are_gathered_and_written_in_order(pipe: Pipe) -> None:
    pipe.log.event("one", "first")
    pipe.log.event("two", "second")
    assert pipe.read() == ""
    pipe.later()
    assert pipe.read() == "2023-11-14T22:13:20Z one: first\n2023-11-14T22:13:20Z two: second\n"


def test_a_full_pipe_does_not_block_and_loses_nothing_that_fits(pipe: Pipe) -> None:
    lines = [f"{i} {'x' * 1000}" for i in range(150)]  # more than a pipe takes, less than the queue
    for line in lines:
        pipe.log.event("e", line)
    pipe.later()
    text = ""
    for _ in range(20):
        text += pipe.read()
        pipe.later()
    assert [line.partition(": ")[2] for line in text.splitlines()] == lines
    assert pipe.log.dropped == 0


def test_what_does_not_fit_is_dropped_and_counted(pipe: Pipe) -> None:
    sent = 500
    for i in range(sent):
        pipe.log.event("e", f"{i} {'x' * 1000}")
    pipe.later()
    assert pipe.log.dropped > 0
    text = ""
    for _ in range(30):
        text += pipe.read()
        pipe.later()
    pipe.log.event("e", "after")
    pipe.later()
    lines = (text + pipe.read()).splitlines()
    told = [line for line in lines if "lines were dropped" in line]
    assert len(told) == 1
    dropped = int(told[0].split()[2])
    assert dropped == sent - (len(lines) - 2)
    assert pipe.log.dropped_in_all == dropped
    assert lines.index(told[0]) == len(lines) - 2, "in the place of what was dropped"


def test_the_queue_is_bounded(pipe: Pipe) -> None:
    for _ in range(1000):
        pipe.log.event("e", "x" * 1000)
    assert pipe.log.dropped * 1000 > 1000 * 1000 - QUEUE_MAX - len(pipe.read())


def test_a_line_longer_than_what_is_gathered_is_written_whole(pipe: Pipe) -> None:
    pipe.log.event("e", "x" * 100_000)
    text = pipe.read()
    pipe.later()
    assert len(text + pipe.read()) > 100_000
    assert pipe.log.dropped_in_all == 0


def test_a_reader_that_keeps_up_loses_nothing_however_much_comes_at_once(pipe: Pipe) -> None:
    """No time passes here: a gateway that is asked 20,000 times a second writes two pipes full between two looks."""
    lines = [f"{i} {'x' * 1000}" for i in range(1000)]
    text = ""
    for line in lines:
        pipe.log.event("e", line)
        text += pipe.read()
    pipe.later()
    text += pipe.read()
    assert [line.partition(": ")[2] for line in text.splitlines()] == lines
    assert pipe.log.dropped_in_all == 0


def test_a_file_loses_nothing_however_much_comes_at_once(tmp_path: Path) -> None:
    loop = VirtualLoop()
    lines = [f"{i} {'x' * 1000}" for i in range(1000)]
    with (tmp_path / "log").open("wb") as file:
        log = Log(loop, sink := sink_of(file.fileno()), lambda: WALL)
        for line in lines:
            log.event("e", line)
            sink.close(5)  # the disk is fast enough
        log.close()
    loop.close()
    text = (tmp_path / "log").read_text()
    assert [line.partition(": ")[2] for line in text.splitlines()] == lines
    assert log.dropped_in_all == 0


def test_of_very_many_events_at_once_the_first_are_told_and_how_many_there_are(pipe: Pipe) -> None:
    """A config may have a warning for each of its thousands of models: all in one turn, they would not fit."""
    pipe.log.events("reload", [f"{i} {'x' * 200}" for i in range(5000)])
    pipe.log.event("request", "the next one")
    pipe.later()
    lines = pipe.read().splitlines()
    assert len(lines) == 102
    assert lines[99].partition(": ")[2].startswith("99 ")
    assert lines[100].endswith("reload: and 4900 more: `oxllm validate` lists them all")
    assert lines[101].endswith("request: the next one")
    assert pipe.log.dropped_in_all == 0
    pipe.log.events("reload", ["a", "b"])
    pipe.later()
    assert [line.partition(": ")[2] for line in pipe.read().splitlines()] == ["a", "b"]


def test_a_blocked_log_keeps_one_timer(pipe: Pipe) -> None:
    for _ in range(400):
        pipe.log.event("e", "x" * 1000)
    pipe.later(10)
    assert pipe.loop.timers <= 1


def test_a_reader_that_left_costs_nothing(pipe: Pipe) -> None:
    os.close(pipe.reading)
    pipe.log.event("e", "to nobody")
    pipe.later()
    pipe.log.event("e", "to nobody")
    pipe.log.flush()
    pipe.reading = os.dup(pipe.writing)
    pipe.later()
    assert (pipe.log.dropped_in_all, pipe.loop.timers) == (2, 0), "nothing is kept, and nobody waits"


class Disk:
    """A sink whose disk is full for a while."""

    def __init__(self) -> None:
        self.full = False
        self.lost = 0
        self.text = b""

    def write(self, data: bytes) -> int:
        if self.full:
            self.lost += data.count(b"\n")
        else:
            self.text += data
        return len(data)

    def close(self, patience: float) -> None:
        pass


def test_lines_that_a_full_disk_loses_are_counted_and_told_of_once() -> None:
    loop, disk = VirtualLoop(), Disk()
    log = Log(loop, disk, lambda: WALL)
    disk.full = True
    for number in range(20):
        log.event("lost", str(number))
        loop.run_until_complete(asyncio.sleep(1))
    disk.full = False
    for number in range(3):
        log.event("kept", str(number))
        loop.run_until_complete(asyncio.sleep(1))
    loop.close()
    kinds = [line.split(" ")[1] for line in disk.text.decode().splitlines()]
    assert sorted(kinds) == ["kept:"] * 3 + ["log:"]
    assert b"20 lines were dropped" in disk.text
    assert (log.dropped, log.dropped_in_all) == (0, 20)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPIPE])
@pytest.mark.parametrize("kind", [NonBlocking, Threaded])
def test_a_descriptor_that_fails_loses_lines_and_counts_them(
    kind: Callable[[int], Sink], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, data: bytes) -> int:
        raise OSError(number, "")

    monkeypatch.setattr(os, "write", fail)
    sink = kind(99)
    assert sink.write(b"one\ntwo\n") == 8
    sink.close(5)
    assert sink.lost == 2


def test_where_no_thread_can_be_started_lines_wait_until_one_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under a limit of processes: a container's pids, a user's RLIMIT_NPROC. No request fails for it."""

    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with (tmp_path / "log").open("wb") as file:
        sink = Threaded(file.fileno())
        with monkeypatch.context() as patch:
            patch.setattr(_thread, "start_new_thread", start)
            assert (sink.write(b"one\n"), sink.write(b"one\n")) == (0, 0)
        assert sink.write(b"one\n") == 4
        sink.close(5)
    assert ((tmp_path / "log").read_bytes(), sink.lost) == (b"one\n", 0)


def test_a_descriptor_that_blocks_stops_nobody(tmp_path: Path) -> None:
    """A pipe that cannot be opened anew, as after `sudo -u`: its reader takes nothing, and then all."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    sink = Threaded(writing)
    log = Log(loop := VirtualLoop(), sink, lambda: WALL)
    lines = [f"{number} {'x' * 1000}" for number in range(200)]
    for line in lines:
        log.event("e", line)
    loop.run_until_complete(asyncio.sleep(5))
    log.close()  # else nothing would come to an end here: nobody reads yet
    text = b""

    def all_is_read() -> bool:
        nonlocal text
        log.flush()  # the thread may have written its piece, and not have said so yet
        with contextlib.suppress(BlockingIOError):
            text += os.read(reading, 1 << 20)
        return text.count(b"\n") == len(lines)

    assert eventually(all_is_read)
    assert [line.partition(": ")[2] for line in text.decode().splitlines()] == lines
    loop.close()
    sink.close(5)
    os.close(reading)
    os.close(writing)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere /dev/fd opens the same file again")
def test_a_pipe_is_opened_anew_and_a_file_gets_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    assert isinstance(sink_of(writing), NonBlocking)
    assert os.get_blocking(writing), "the flag of others who have it"
    with (tmp_path / "log").open("wb") as file:
        assert isinstance(sink_of(file.fileno()), Threaded)

    def forbidden(path: str, flags: int) -> int:
        raise PermissionError(errno.EACCES, "")

    monkeypatch.setattr(os, "open", forbidden)
    assert isinstance(sink_of(writing), Threaded)
    monkeypatch.undo()
    os.close(reading)
    os.close(writing)


def test_outside_text_cannot_forge_a_line_or_steer_a_terminal(pipe: Pipe) -> None:
    pipe.log.event("warning", "x\n2023 200 forged\x1b[2J\u202e")
    pipe.later()
    assert pipe.read() == "2023-11-14T22:13:20Z warning: x\\n2023 200 forged\\x1b[2J\\u202e\n"


def test_a_request_is_one_line() -> None:
    with House() as house:
        house.chat("x-request-id: my-id")
        house.advance(0.5)
        assert house.log_text() == "2023-11-14T22:13:20Z 200 chat smart -> alpha/m total 0 ms (7+3 tokens) my-id\n"


def test_all_of_a_line_is_escaped() -> None:
    with House(plan_of("al\x1bpha")) as house:
        house.chat()
        house.advance(0.5)
        assert "-> al\\x1bpha/m" in house.log_text()


def test_a_rescued_stream_says_what_failed_and_when_content_came() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.providers["beta"].replies = [stream(2.0, token("a"), 1.0)]
        house.chat("x-request-id: my-id", stream=True)
        house.advance(5)
        line = "200 chat smart -> beta/m after [alpha/m: HTTP 503] first 2.0 s, total 3.0 s my-id\n"
        assert line in house.log_text()


def test_a_stream_that_broke_is_not_told_as_one_that_was_rescued() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, token("a"), 0.5, RESET]]
        house.chat("x-request-id: my-id", stream=True)
        house.advance(5)
        end = "ended: connection reset: in the body my-id\n"
        assert f"200 chat smart -> alpha/m first 0 ms, total 500 ms {end}" in house.log_text()


def test_a_rescued_stream_that_broke_then_says_both() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.providers["beta"].replies = [[EVENT_STREAM, token("a"), 0.5, RESET]]
        house.chat("x-request-id: my-id", stream=True)
        house.advance(5)
        begin = "200 chat smart -> beta/m after [alpha/m: HTTP 503] first 0 ms, total 500 ms "
        assert f"{begin}ended: connection reset: in the body my-id\n" in house.log_text()


def test_a_request_that_nobody_served_says_of_each_target_once_why() -> None:
    with House() as house:
        house.providers["alpha"].replies = house.providers["beta"].replies = [answer(b"{}", 503)]
        house.chat("x-request-id: my-id")
        house.advance(1)
        why = "all targets of 'smart' failed: alpha/m: HTTP 503; beta/m: HTTP 503"
        assert f"502 chat smart total 0 ms ended: {why} my-id\n" in house.log_text()


def test_a_client_that_left_is_told_beside_what_had_failed_and_whom_it_waited_for() -> None:
    with House() as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.providers["beta"].replies = [[HANG]]
        house.chat("x-request-id: my-id").transport.abort()
        house.advance(1)
        assert "--- chat smart after [alpha/m: HTTP 503, beta/m: client went away] total " in house.log_text()
        assert house.log_text().endswith(" ended: client went away my-id\n")


def test_json_lines_hold_all_fields() -> None:
    with House(json_log=True) as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        house.chat("x-request-id: my-id")
        house.advance(1)
        line = msgspec.json.decode(house.log_text().splitlines()[0])
        assert line == {
            "time": line["time"],
            "event": "request",
            "id": "my-id",
            "protocol": "chat",
            "model": "smart",
            "status": 200,
            "provider": "beta",
            "upstream_model": "m",
            "attempts": 2,
            "stream": False,
            "first_content_ms": 0.0,
            "total_ms": 0.0,
            "prompt_tokens": 7,
            "completion_tokens": 3,
            "cached_tokens": 0,
            "end": "ok",
            "failed": ["alpha/m: HTTP 503"],
            "failed_status": [503],
        }


def test_a_model_is_called_as_the_config_and_the_metrics_call_it() -> None:
    (smart,) = plan_of("alpha").virtual_models
    named = msgspec.structs.replace(smart, name="claude-*")
    with House(msgspec.structs.replace(plan_of("alpha"), virtual_models=(named,)), json_log=True) as house:
        house.chat(model="claude-9-of-2031")
        house.advance(1)
        assert msgspec.json.decode(house.log_text())["model"] == "claude-*"
        assert 'oxllm_requests_total{model="claude-*"} 1' in house.get("/metrics").text


def test_a_change_of_a_breaker_is_a_line() -> None:
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [answer(b"{}", 503)]
        for _ in range(6):
            house.chat()
            house.advance(0.5)
        assert "change: alpha: breaker closed -> open for " in house.log_text()


def test_a_refusal_has_its_line_too_with_its_status_and_id() -> None:
    with House(json_log=True) as house:
        assert house.get("/v1/models/none", "x-request-id: my-id").status == 404
        line = msgspec.json.decode(house.log_text())
        assert (line["event"], line["status"], line["id"], line["peer"]) == ("refused", 404, "my-id", "127.0.0.1")
        assert "'none'" in line["message"]
    with House() as house:
        house.get("/v1/models/none", "x-request-id: my-id")
        assert " refused: 404 to 127.0.0.1: " in house.log_text()
        assert house.log_text().endswith(", my-id\n")


@pytest.mark.parametrize("json_log", [False, True])
def test_no_prompt_answer_or_key_is_logged(json_log: bool) -> None:
    with House(plan_of("alpha", "beta", api_keys=("client-secret",)), json_log=json_log) as house:
        house.providers["alpha"].replies = [answer(b'{"error":{"message":"bad secret key sk-secret-alpha"}}', 400)]
        house.chat("Authorization: Bearer client-secret")
        house.chat("Authorization: Bearer wrong-secret")
        house.chat("Authorization: Bearer client-secret", model="beta/m")
        house.advance(1)
        assert house.log_text().count("\n") == 4  # one of them: the key is refused
        assert "secret" not in house.log_text()
