"""Pace: read, drawn, and kept under load."""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from math import inf

import httpx
import pytest

from oxllm.sim.provider import pace
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.pace import BadPace, Spread
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.testing import Sim

BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"%d"}]}'
RUNS = 10
"""Of a calibration, at most."""


def test_a_pace_is_read_and_what_it_leaves_out_is_normal() -> None:
    read = pace.parse("ttft 400ms lognormal 0.6, itl 18ms bursty 0.7, out 20..200")
    assert (read.ttft, read.itl, read.out) == (Spread(0.4, "lognormal", 0.6), Spread(0.018, "bursty", 0.7), (20, 200))
    assert pace.parse("out 5").out == (5, 5)
    assert pace.parse("out 5").ttft == pace.parse("normal").ttft
    assert pace.parse("slow").ttft.mean == 2.0


@pytest.mark.parametrize(
    "text",
    [
        "load 0",
        "load many",
        "ttfb 3s",
        "ttft soon",
        "ttft 1s gamma 2",
        "itl 1s bursty 1",
        "out 9..3",
        "out x",
        "itl 1s bursty",
        "",
    ],
)
def test_what_is_no_pace_is_refused(text: str) -> None:
    with pytest.raises(BadPace):
        pace.parse(text)


@pytest.mark.parametrize("shape", ["", " lognormal 0.6", " bursty 0.7"])
def test_the_figure_is_the_mean_whatever_the_shape(shape: str) -> None:
    spread = pace.parse(f"itl 20ms{shape}").itl
    series = Chance(7, "alpha", 1).series("pace")
    assert statistics.fmean(spread.sample(series) for _ in range(40_000)) == pytest.approx(0.02, rel=0.03)


async def timed(port: int, number: int) -> tuple[float, float]:
    """Seconds to the first token, and to the last, of one stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = BODY % number
    await asyncio.sleep(0.3 + number * 0.003)  # connections first, and then not all at the same moment
    began = time.monotonic()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    seen, data = list[float](), b""
    while b'"finish_reason":"stop"' not in data:
        data += await reader.read(65536)
        while len(seen) < data.count(b'"delta":{"content":" '):
            seen.append(time.monotonic())
    writer.close()
    return seen[0] - began, seen[-1] - began


@pytest.mark.slow
async def test_two_hundred_streams_at_once_keep_the_pace_within_five_per_cent() -> None:
    """A busy machine can make answers late, and never early: the least of a few runs is the pace."""
    speed = pace.parse("ttft 1s, itl 50ms, out 21")
    wanted = pytest.approx((1.0, 1.0 + 20 * 0.05), rel=0.05)
    first = last = inf
    with Sim(Upstream("alpha", pace=speed)) as sim:
        port = sim.port("alpha")
        for _ in range(RUNS):
            times = await asyncio.gather(*(timed(port, number) for number in range(200)))
            first = min(first, statistics.fmean(first for first, _ in times))
            last = min(last, statistics.fmean(last for _, last in times))
            if (first, last) == wanted:
                break
    assert (first, last) == wanted


@pytest.mark.slow
async def test_a_thousand_healthy_streams_at_once_all_come_whole() -> None:
    with Sim(Upstream("alpha", pace=pace.parse("ttft 1500ms, itl 100ms, out 8"))) as sim:
        answers = await asyncio.gather(*(whole(sim.port("alpha"), number) for number in range(1000)))
        assert sim.connections("alpha") == 1000
    assert all(answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n") for answer in answers)


async def whole(port: int, number: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = BODY % number
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n"
    writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))
    answer = await reader.read()
    writer.close()
    return answer


SLOW_ENOUGH = pace.parse("ttft 60ms, itl 10ms, out 21")
WITHIN = 0.05
NAGLE_S = 0.04
"""How long Linux waits with an ACK."""
STREAMS_MAX = 60
"""As many as it takes on a machine that has other things to do."""


def streamed(kept: socket.socket, number: int) -> tuple[float, float]:
    """Seconds to the first token, and to the last of 21, of one stream on a connection."""
    body, data, seen = BODY % number, b"", list[float]()
    began = time.perf_counter()
    kept.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    while not data.endswith(b"0\r\n\r\n"):
        data += kept.recv(65536)
        while len(seen) < data.count(b'"delta":{"content":" '):
            seen.append(time.perf_counter())
    return seen[0] - began, seen[-1] - began


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
def test_a_client_reads_back_the_pace_that_was_asked_for_on_new_and_kept_connections(kept: bool) -> None:
    """The best of some runs: a busy machine can make answers late, and never early."""
    wanted = pytest.approx((0.06, 0.06 + 20 * 0.01), rel=WITHIN)
    first = last = inf
    with Sim(Upstream("alpha", pace=SLOW_ENOUGH)) as sim:
        address = ("127.0.0.1", sim.port("alpha"))
        with socket.create_connection(address) as one:
            streamed(one, 0)  # what follows on it is on a kept connection
            for number in range(1, STREAMS_MAX):
                if kept:
                    times = streamed(one, number)
                else:
                    with socket.create_connection(address) as other:
                        times = streamed(other, number)
                first, last = min(first, times[0]), min(last, times[1])
                if (first, last) == wanted:
                    break
    assert (first, last) == wanted


def test_plain_answers_on_a_kept_connection_wait_for_no_acknowledgement() -> None:
    """Head and body are two writes; with Nagle's algorithm the second waits 40 ms for the first one's ACK."""
    with Sim("alpha") as sim, httpx.Client(base_url=sim.url("alpha")) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        took = []
        for _ in range(30):
            began = time.perf_counter()
            assert client.post("/chat/completions", json=body).status_code == 200
            took.append(time.perf_counter() - began)
    assert min(took) < NAGLE_S, "a busy machine is late, but not each time"


def test_who_has_been_answered_is_no_load() -> None:
    with Sim("alpha") as sim, httpx.Client(base_url=sim.url("alpha")) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        assert client.post("/chat/completions", json=body).status_code == 200
        assert sim.connections("alpha") == 1
        assert sim.provider("alpha").answering.count == 0


@pytest.mark.slow
async def test_a_provider_that_is_made_for_two_answers_takes_twice_as_long_for_four() -> None:
    with Sim(Upstream("alpha", pace=pace.parse("ttft 300ms, itl 10ms, out 11, load 2"))) as sim:
        port = sim.port("alpha")
        alone, _ = await timed(port, 0)
        together = await asyncio.gather(*(timed(port, 100 + number) for number in range(4)))
        after, _ = await timed(port, 1)
    firsts = sorted(first for first, _ in together)
    assert firsts[0] >= 0.3
    assert firsts[-1] >= 0.6, "it came when three were there, too"
    assert min(alone, after) < firsts[-1], "who is alone is served as quickly as before"
