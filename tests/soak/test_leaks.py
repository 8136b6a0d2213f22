"""Nothing is left behind: memory, descriptors, timers, tasks, connections after each kind of traffic.

One gateway lives through all of it. Each kind comes in rounds, and after each round, at rest, the gateway is weighed:
its anonymous pages as the kernel has them, and the bytes that malloc has given out, which is exact.
The slope of both over requests (over reloads) must be flat, and whatever a phase opened must be gone at its end.
"""

from __future__ import annotations

import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from oxllm.cli.built import built
from tests.soak.conftest import Growth, Growths, Profile
from tests.support import gateway, provider, rounds
from tests.support.meter import MB, rollup_mb, rss_mb
from tests.support.processes import Running, free_port
from tests.support.rounds import Ask, Driver
from tests.support.slope import theil_sen
from tests.support.wire import MESSAGES, answer, chat_body, plain_answer, play, whole_stream

TIDE_BYTES = 200_000
"""By which the heap may differ between two weights all the same: the last 256 requests, tables that have grown."""
RELOAD_HEAP_MAX = 2_000.0
"""Bytes a reload. A config of this size has some 150,000."""
RELOAD_BYTES_MAX = 20_000.0
REST_S = 10.0
SCRIPT = Path(__file__).with_name("wasteful.py")
planted = pytest.mark.skipif(
    built() == "compiled", reason="the waste is planted by a patch, which compiled code calls past"
)


ROUNDS = 12
"""Weights of each kind of traffic, but for the first."""
UNDER_WAY = ("oxllm_requests_in_flight", "oxllm_provider_in_flight", "oxllm_tasks")


class Weight(NamedTuple):
    """What a gateway holds at rest."""

    bytes: float
    heap: float


class Slope(NamedTuple):
    """Growth for each request, and the weights that show it."""

    bytes: float
    heap: float
    curve: Sequence[Weight]


class Left(NamedTuple):
    """What has to be the same again after each phase."""

    fds: int
    threads: int
    timers: float
    tasks: float
    clients: float
    upstream: float
    buffered: float
    in_flight: float


class Place(NamedTuple):
    """Where everything is."""

    port: int
    file: Path
    upstream: int
    upstream_tls: int
    nobody: int

    def config(self, *, other: bool = False) -> str:
        """Models for each kind of traffic. A breaker that never opens, or most requests would be refused at once.

        `other` lacks a provider and a model, and has one of each that is new.
        """
        base = f"http://127.0.0.1:{self.upstream}"
        providers = {
            "alpha": "https://api.alpha.example/v1",
            "local": f"{base}/v1",
            "limited": f"{base}/limited/v1",
            "cut": f"{base}/cut/v1",
            "close": f"{base}/close/v1",
            "secure": f"https://localhost:{self.upstream_tls}/close/v1",
            "nobody": f"http://127.0.0.1:{self.nobody}/v1",
            "new" if other else "old": f"{base}/v1",
        }
        models = {name: (name,) for name in providers} | {
            "rescued": ("limited", "local"),
            "refused": ("nobody", "local"),
        }
        lines = [f"[server]\nport = {self.port}\n[breaker]\nfailures = 1_000_000\n"]
        for name, url in providers.items():
            lines.append(f'[[providers]]\nname = "{name}"\nbase_url = "{url}"\napi_key = "sk-1"\nmodels = ["big-1"]')
            lines.append('protocols = ["chat", "messages"]')
            if name == "secure":
                lines.append(f'ca_file = "{self.file.parent / "ca.pem"}"')
        lines.append("[virtual_models]")
        for name, targets in models.items():
            listed = ", ".join(f'{{ provider = "{target}", model = "big-1" }}' for target in targets)
            lines.append(f"{name} = [{listed}]")
        return "\n".join(lines) + "\n"


def chat(model: str, prompt: str = answer(300), *, stream: bool = False) -> str:
    """A whole request."""
    return post(chat_body(prompt, model=model, stream=stream, size=400).decode())


def message(model: str, prompt: str) -> str:
    """The same for a stream of the Messages API, each in a session of its own."""
    body = chat_body(prompt, model=model, stream=True, size=400).decode()
    return post(body, "session-id: some", "anthropic-beta: x", path="/v1/messages?beta=true")


def post(body: str, *fields: str, path: str = "/v1/chat/completions") -> str:
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*head, "", body])


WHOLE = f"200 whole {re.escape(plain_answer(300).decode())}"
EVENTS = whole_stream(8).decode()
CONTENT = re.escape(EVENTS[: EVENTS.index("data: ", EVENTS.index("000007"))])
MESSAGE = whole_stream(8, MESSAGES).decode()
MESSAGE_CONTENT = re.escape(MESSAGE[: MESSAGE.index("event: content_block_stop")])
BAD = (
    "GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "no HTTP at all\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + "x" * 40_000 + "\r\n\r\n",
    post("{", "Transfer-Encoding: chunked"),
    post("{no json}"),
    post('{"messages":[]}'),
    post('{"model":"unheard-of"}'),
    post('{"model":["smart"]}'),
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999\r\n\r\n",
)

COMMON = ("requests", "a connection each")
TLS = "a TLS upstream each"

KINDS: dict[str, Callable[[int], Ask]] = {
    "requests": lambda port: Ask(port=port, requests=(chat("local"),), answer=WHOLE),
    "a connection each": lambda port: Ask(port=port, requests=(chat("local"),), answer=WHOLE, fresh=True),
    "an upstream each": lambda port: Ask(port=port, requests=(chat("close"),), answer=WHOLE),
    TLS: lambda port: Ask(port=port, requests=(chat("secure"),), answer=WHOLE),
    "streams": lambda port: Ask(
        port=port, requests=(chat("local", play(8, 0, 0), stream=True),), answer=f"200 whole {re.escape(EVENTS)}"
    ),
    "429 for the client": lambda port: Ask(
        port=port, requests=(chat("limited"),), answer='429 whole {"error".*"rate_limit_exceeded".*'
    ),
    "429, rescued": lambda port: Ask(port=port, requests=(chat("rescued"),), answer=WHOLE),
    "cut streams": lambda port: Ask(
        port=port,
        requests=(chat("cut", play(8, 0, 0), stream=True),),
        answer=f'200 cut {CONTENT}data: {{"error".*"stream_interrupted".*',
    ),
    "messages": lambda port: Ask(
        port=port, requests=(message("local", play(8, 0, 0)),), answer=f"200 whole {re.escape(MESSAGE)}"
    ),
    "cut messages": lambda port: Ask(
        port=port,
        requests=(message("cut", play(8, 0, 0)),),
        answer=f"200 cut {MESSAGE_CONTENT}event: error\\ndata: .*api_error.*",
    ),
    "cancelled streams": lambda port: Ask(
        port=port,
        requests=(chat("local", play(100, 0.05, 0), stream=True),),
        answer='200 cut .*"content":"0000.*',
        leave=True,
    ),
    "refused connects": lambda port: Ask(
        port=port, requests=(chat("refused"), chat("nobody")), answer=f'{WHOLE}|502 whole {{"error".*'
    ),
    "bad requests": lambda port: Ask(port=port, requests=BAD, answer='4.. whole {"error".*'),
}


class Subject:
    """A gateway, from outside, and the driver that asks it."""

    def __init__(self, process: Running, place: Place, driver: Driver) -> None:
        self.place = place
        self._process = psutil.Process(process.pid)
        self._driver = driver

    def grow(self, ask: Ask, count: int) -> Slope:
        """How much it grows for each of `count` requests, after a quarter as many to get warm."""
        a_round = count // ROUNDS
        self._driver.run(ask, count // 4)
        weights = [self.weigh()]
        for _ in range(ROUNDS):
            self._driver.run(ask, a_round)
            weights.append(self.weigh())
        return slope(weights, a_round)

    def reload(self, config: str) -> None:
        """Take on another config."""
        self.place.file.write_text(config, encoding="utf-8")
        url = f"http://127.0.0.1:{self.place.port}/reload"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=60) as response:
            assert response.status == 200

    def metrics(self) -> dict[str, float]:
        """All samples, those of one family added up."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.place.port}/metrics", timeout=10) as response:
            page = response.read().decode()
        totals: dict[str, float] = {}
        for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", page, re.MULTILINE):
            totals[name] = totals.get(name, 0.0) + float(value)
        return totals

    def weigh(self) -> Weight:
        """What it holds once nothing is under way."""
        start = time.monotonic()
        self._process.send_signal(signal.SIGUSR2)
        while any((now := self.metrics())[name] for name in UNDER_WAY):
            assert time.monotonic() - start < REST_S, "something is under way that nobody waits for"
            time.sleep(0.01)
        pages = rollup_mb(self._process.pid).get("Anonymous") or rss_mb(self._process.pid)
        return Weight(pages * MB, now["oxllm_heap_bytes"])

    def left(self) -> Left:
        now = self.metrics()
        return Left(
            fds=self._process.num_fds(),
            threads=self._process.num_threads(),
            timers=now["oxllm_timers"],
            tasks=now["oxllm_tasks"],
            clients=now["oxllm_client_connections"],
            upstream=now["oxllm_upstream_connections"],
            buffered=now["oxllm_buffered_bytes"] + now["oxllm_held_bytes"],
            in_flight=now["oxllm_requests_in_flight"] + now["oxllm_provider_in_flight"],
        )

    def rest(self, wanted: Left | None = None) -> Left:
        """What is left when clients have gone and providers have hung up: waits for `wanted`, else for a standstill."""
        self._driver.rest()
        provider.hang_up(self.place.upstream)
        start = time.monotonic()
        before = None
        while (now := self.left()) != (wanted or before) and time.monotonic() - start < REST_S:
            before = now
            time.sleep(0.1)
        return now


def slope(weights: Sequence[Weight], step: int) -> Slope:
    """Growth by request; there are `step` between two weights."""
    return Slope(
        theil_sen([(index * step, weight.bytes) for index, weight in enumerate(weights)]),
        theil_sen([(index * step, weight.heap) for index, weight in enumerate(weights)]),
        weights,
    )


@contextmanager
def serving(directory: Path, waste: str = "nothing") -> Iterator[Subject]:
    """A gateway, with a waste planted in it, in front of all the providers that the config names."""
    with provider.running(directory) as upstream, provider.running(directory, tls=True) as secure:
        where = Place(free_port(), directory / "oxllm.toml", upstream, secure, free_port())
        where.file.write_text(where.config(), encoding="utf-8")
        with (
            gateway.run_script_on(SCRIPT, where.file, where.port, "--waste", waste) as process,
            rounds.running(directory) as driver,
        ):
            yield Subject(process, where, driver)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with serving(tmp_path_factory.mktemp("leaks")) as subject:
        yield subject


@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_traffic_leaves_anything_behind(
    subject: Subject, profile: Profile, growths: Growths, kind: str
) -> None:
    ask = KINDS[kind](subject.place.port)
    count = profile.requests if kind in COMMON else profile.others // (2 if kind == TLS else 1)
    before = subject.rest()
    grown = subject.grow(ask, count)
    growths.append(Growth(kind, count, grown.bytes, grown.heap))
    assert subject.rest(before) == before
    assert grown.heap < TIDE_BYTES / count
    assert grown.bytes < profile.bytes_max


def test_a_config_that_was_replaced_is_gone(subject: Subject, profile: Profile, growths: Growths) -> None:
    before = subject.rest()
    weights = []
    for _ in range(profile.reloads // 2):
        subject.reload(subject.place.config(other=True))
        subject.reload(subject.place.config())
        weights.append(subject.weigh())
    grown = slope(weights[1:], 2)
    growths.append(Growth("reload", profile.reloads, grown.bytes, grown.heap))
    assert subject.rest(before) == before
    assert grown.heap < RELOAD_HEAP_MAX
    assert grown.bytes < RELOAD_BYTES_MAX


@planted
def test_a_leak_of_256_bytes_a_request_is_found(tmp_path: Path, profile: Profile, growths: Growths) -> None:
    with serving(tmp_path, "request") as wasteful:
        grown = wasteful.grow(KINDS["requests"](wasteful.place.port), profile.requests)
    growths.append(Growth("planted 256 bytes", profile.requests, grown.bytes, grown.heap))
    assert grown.bytes > profile.bytes_max
    assert grown.heap > TIDE_BYTES / profile.requests or not grown.curve[0].heap, (
        "libc may not say what it has given out"
    )


@planted
def test_a_timer_that_is_left_behind_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, "timer") as wasteful:
        before = wasteful.rest()
        wasteful.grow(KINDS["requests"](wasteful.place.port), ROUNDS)
        assert wasteful.rest().timers > before.timers
