"""A whole gateway in one process, without sockets: the real server, service, relay and pool on a virtual clock.

    with House(make_plan("alpha")) as house:
        house.providers["alpha"].reply = answer(b"{}")
        assert house.get("/health").status == 200

Providers are scripts: what to send, when to wait, how to end. The log is in `house.log_text()`.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Callable
from typing import Any, Self, cast

import msgspec

from oxllm import plan as plans
from oxllm.core.budget.answers import HeldBudget
from oxllm.core.routing.router import Router
from oxllm.gateway.assembly import Gateway
from oxllm.gateway.observe.complaints import Complaints
from oxllm.gateway.observe.log import Log
from oxllm.gateway.observe.sink import NonBlocking
from oxllm.gateway.reactor.bridge import Awaited
from oxllm.gateway.relay import Relay
from oxllm.gateway.runtime import Generation, Runtime
from oxllm.gateway.transport import Done, Peer, Transport
from oxllm.gateway.upstream.dial import Dial
from oxllm.gateway.upstream.resolver import Address
from tests.support import chat_bytes, scripted
from tests.support.chat_bytes import DONE, FINISH, chunk
from tests.support.scripted import Playing, Step
from tests.support.virtual import CHUNK, End, MemoryTransport, VirtualLoop, connect

WALL = 1_700_000_000.0
MESSAGES = b'"messages":[{"role":"user","content":"a secret prompt"}]'


WHOLE = (
    b'{"choices":[{"index":0,"message":{"content":"a secret answer"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":7,"completion_tokens":3}}'
)
EVENT_STREAM = chat_bytes.chunked_head()


class Script(scripted.Script):
    """A provider of a house. By default it gives a whole answer."""

    def __init__(self) -> None:
        super().__init__()
        self.replies = [answer(WHOLE)]


def answer(body: bytes, status: int = 200, *fields: str) -> list[Step]:
    """A whole response."""
    return [chat_bytes.sized(status, body, *fields)]


def token(text: str) -> bytes:
    """A chunk with one event of content."""
    return chunk(chat_bytes.token(text))


def stream(*parts: Step) -> list[Step]:
    """A stream of these parts (chunks, pauses) and its proper end."""
    return [EVENT_STREAM, *parts, chunk(FINISH), chunk(DONE), chat_bytes.LAST_CHUNK]


class Response(msgspec.Struct):
    """A parsed response; the body of a chunked one is joined."""

    status: int
    headers: dict[str, str]
    body: bytes
    whole: bool

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Client(asyncio.Protocol):
    """One client connection."""

    def __init__(self, house: House, peer: str, local: str) -> None:
        self.house = house
        self.received = bytearray()
        self.closed = False
        self.transport: MemoryTransport
        house.join(self, (peer, 50000), (local, 8080))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(MemoryTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True

    def send(self, data: bytes) -> Self:
        self.transport.write(data)
        self.house.settle()
        return self

    @property
    def response(self) -> Response:
        """What has come so far, as one response. Clear `received` between responses."""
        head, found, body = bytes(self.received).partition(b"\r\n\r\n")
        assert found, bytes(self.received)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "transfer-encoding" in headers:
            whole = body.endswith(b"0\r\n\r\n")
            body = _joined(body)
        else:
            whole = len(body) >= int(headers.get("content-length", 0))
        return Response(int(first.split()[1]), headers, body, whole)


def _joined(body: bytes) -> bytes:
    joined = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        joined += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return joined


def plan_of(*names: str, **server: Any) -> plans.Plan:
    """A plan with one provider for each name, all behind the virtual model `smart`, one tier each."""
    providers = tuple(
        plans.Provider(name, False, "127.0.0.1", 9000 + i, "/v1", f"sk-secret-{name}", models=("m",))
        for i, name in enumerate(names)
    )
    targets = tuple(plans.Target(name, "m", tier) for tier, name in enumerate(names, 1))
    return plans.Plan(
        plans.Server(**server), providers=providers, virtual_models=(plans.VirtualModel("smart", targets),)
    )


def relays_of(runtime: Runtime) -> list[Relay]:
    """Requests under way."""
    return [relay for relay in runtime.relays if isinstance(relay, Relay)]


class House:
    """A gateway. Leave the block to end it; whatever is still scheduled then is dropped."""

    def __init__(
        self,
        plan: plans.Plan | None = None,
        json_log: bool = False,
        seed: int = 1,
        held: HeldBudget | None = None,
        crashes: bool = False,
        *,
        rng: random.Random | None = None,
        router: Router | None = None,
        began: float = WALL,
        dial: Dial | None = None,
    ) -> None:
        """`crashes`: internal errors are expected; otherwise one fails the test. `began`: the date at the start.

        `dial`: connects to providers other than scripted ones.
        """
        self._crashes = crashes
        plan = plan or plan_of("alpha", "beta")
        self.loop = VirtualLoop()
        self._zero = began - self.loop.time()
        self.dial_error: OSError | None = None
        """The error of every new connection to a provider."""
        self.cut = lambda: CHUNK
        """At most how many bytes the next read by a client, or from one, brings."""
        self.providers = {provider.name: Script() for provider in plan.providers}
        self._ports = {provider.port: provider.name for provider in plan.providers}
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115  closed with the house
        rng = rng or random.Random(seed)
        self.log = Log(self.loop, NonBlocking(self._log_file.fileno()), self.wall, json_log)
        self.gateway = Gateway(self.loop, plan, self.log, rng, self.wall, dial or self._dial, router=router, held=held)
        self.loop.set_exception_handler(Complaints(self.gateway.journal))
        self.gateway.vitals.addresses = ("http://127.0.0.1:8080",)
        self.wheel, self.pool, self.server = self.gateway.wheel, self.gateway.pool, self.gateway.server
        self.runtime, self.admin, self.service = self.gateway.runtime, self.gateway.admin, self.gateway.service

    def route(self, port: int, name: str) -> Script:
        """Have another provider listen on `port`."""
        self._ports[port] = name
        script = self.providers[name] = Script()
        return script

    @property
    def generation(self) -> Generation:
        """The generation of the config in use."""
        return self.gateway.current.generation

    @property
    def relays(self) -> list[Relay]:
        """Requests under way."""
        return relays_of(self.runtime)

    def wall(self) -> float:
        """The date."""
        return self._zero + self.loop.time()

    def _dial(self, address: Address, port: int, protocol: Peer, done: Done) -> Awaited:
        return Awaited(self.loop, self._connect(address, port, protocol), done)

    async def _connect(self, address: Address, port: int, protocol: Peer) -> Transport:
        if self.dial_error is not None:
            raise self.dial_error
        name = self._ports.get(port)
        if name is None:
            raise ConnectionRefusedError(111, "Connection refused")
        near, _ = connect(self.loop, protocol, Playing(self.providers[name]), server_address=(address.host, port))
        return near

    def __enter__(self) -> Self:
        asyncio.set_event_loop(self.loop)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.pool.close()
        self.settle()
        log = self.log_text()
        self.close()
        assert self._crashes or kind is not None or not self.gateway.journal.internal_errors, log

    def close(self) -> None:
        """Release what it holds: the log, the loop."""
        self._log_file.close()
        asyncio.set_event_loop(None)
        self.loop.close()

    # Time.

    def settle(self) -> None:
        """Run until nothing is left to do at this instant."""
        self.loop.settle()

    def advance(self, seconds: float) -> None:
        """Let this much time pass."""
        self.loop.advance(seconds)

    # A client's view.

    def join(
        self,
        client: asyncio.Protocol,
        peer: tuple[str, int] = ("127.0.0.1", 50000),
        local: tuple[str, int] = ("127.0.0.1", 8080),
        front: End | None = None,
        cut: Callable[[], int] | None = None,
    ) -> None:
        """Connect a client to the gateway, or to `front` instead."""
        connect(self.loop, client, front or self.server.protocol(), peer, local, cut or self.cut)

    def client(self, peer: str = "127.0.0.1", local: str = "127.0.0.1") -> Client:
        return Client(self, peer, local)

    def ask(
        self,
        method: str,
        path: str,
        *fields: str,
        body: bytes = b"",
        host: str | None = "localhost:8080",
        peer: str = "127.0.0.1",
        local: str = "127.0.0.1",
    ) -> Response:
        """Send one request on its own connection; returns what has come back by now."""
        lines = [f"{method} {path} HTTP/1.{0 if host is None else 1}", *([f"host: {host}"] if host is not None else [])]
        if body:
            lines.append(f"content-length: {len(body)}")
        return self.client(peer, local).send("\r\n".join([*lines, *fields, "", ""]).encode() + body).response

    def get(self, path: str, *fields: str, **more: Any) -> Response:
        return self.ask("GET", path, *fields, **more)

    def chat(self, *fields: str, model: str = "smart", stream: bool = False) -> Client:
        """A chat request that has been sent; its response comes as time passes."""
        return self.client().send(chat_request(*fields, model=model, stream=stream))

    def untouched(self) -> bool:
        """Whether nothing is held against any provider or target."""
        now = self.loop.time()
        return all(
            one.breaker.halves == 0 and all(target.skip(now) is None for target in one.current_targets)
            for one in self.generation.router.providers.values()
        )

    def log_text(self) -> str:
        """What has been logged."""
        self.log.flush()
        return os.pread(self._log_file.fileno(), 10_000_000, 0).decode()


def chat_request(*fields: str, model: str = "smart", stream: bool = False) -> bytes:
    """A chat completion request."""
    body = b'{"model":"%b","stream":%b,%b}' % (model.encode(), b"true" if stream else b"false", MESSAGES)
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: localhost:8080", f"content-length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body
