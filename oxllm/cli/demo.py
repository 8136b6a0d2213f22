"""`oxllm serve --demo`: two simulated providers and a Plan over them."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

import click
import msgspec

from oxllm.cli.options import Failure
from oxllm.config.listen import Listen
from oxllm.plan import ANY, PROTOCOLS, Plan, Provider, Server, Target, VirtualModel
from oxllm.words import bracketed, reached_at

COMMAND = (sys.executable, "-P", "-m", "oxllm.sim.demo")
READY_WITHIN_S = 20.0
MODEL = "demo-1"
HINT = """\
{title}

  curl -N http://{where}/v1/chat/completions \\
    -H 'content-type: application/json' \\
    -d '{{"model": "demo", "stream": true,
         "messages": [{{"role": "user", "content": "Hello!"}}]}}'

{sdk}

  from openai import OpenAI
  client = OpenAI(base_url="http://{where}/v1", api_key="none")
  answer = client.chat.completions.create(
      model="demo", messages=[{{"role": "user", "content": "Hello!"}}])
  print(answer.choices[0].message.content)

{agents}

  ANTHROPIC_BASE_URL=http://{where} ANTHROPIC_AUTH_TOKEN=none claude
  codex -c model_provider=oxllm -c model_providers.oxllm.name=oxllm \\
    -c model_providers.oxllm.base_url=http://{where}/v1

  oxllm status --watch -p {port}

Each request shows below as one line. Ctrl-C stops all of it.
"""


class Ready(msgspec.Struct):
    """The one line that the simulator prints."""

    ports: dict[str, int]


def start_demo(host: str | None = None, port: int | None = None) -> Plan:
    """Start the simulator, print what to paste, and return the Plan to serve. Raises Failure if it does not start, or
    if the requested port is taken.

    The container image sets $OXLLM_DEMO_HOST to all addresses, since requests to a published port come from outside.
    """
    listen = _listen(host or os.environ.get("OXLLM_DEMO_HOST") or None)
    if port:
        _check_free(listen[1], port)
    else:
        port = free_port(Server().port if port is None else 0)
    plan = demo_plan(start_simulator(), port, listen)
    click.echo(hint(plan))
    return plan


def hint(plan: Plan) -> str:
    """What to paste next."""
    title = click.style("Two simulated providers, no key needed: `flaky` fails often, `steady` steps in.", bold=True)
    sdk, agents = "or with the openai SDK:", "or with an agent, Claude Code or Codex:"
    host, port = plan.server.listen[0], plan.server.port
    where = f"{bracketed(reached_at(host))}:{port}"
    return HINT.format(title=title, sdk=sdk, agents=agents, where=where, port=port)


def _listen(host: str | None) -> Listen:
    from oxllm.config.listen import addresses
    from oxllm.config.problem import BadValueError

    try:
        return addresses(host, None)
    except BadValueError as bad:
        raise Failure(f"--host {host} {bad.args[0]}") from None


def demo_plan(ports: dict[str, int], port: int, listen: Listen = ("ipv4", ("127.0.0.1",))) -> Plan:
    """The virtual model `demo`, and any other name, over both providers; the flaky one comes first."""
    names = ("flaky", "steady")
    targets = tuple(Target(name, MODEL, tier) for tier, name in enumerate(names, start=1))
    return Plan(
        server=Server(host=listen[1][0], port=port, bind_family=listen[0], listen=listen[1]),
        providers=tuple(
            Provider(
                name=name,
                tls=False,
                host="127.0.0.1",
                port=ports[name],
                path="/v1",
                models=(MODEL,),
                protocols=PROTOCOLS,
            )
            for name in names
        ),
        virtual_models=(VirtualModel("demo", targets), VirtualModel(ANY, targets)),
    )


def start_simulator(command: tuple[str, ...] = COMMAND) -> dict[str, int]:
    """Start it; returns its ports. It ends at EOF on stdin: the pipe's other end is ours, and survives the exec.

    It has its own session, so that Ctrl-C does not reach it, and requests in flight can finish.
    """
    reading, writing = os.pipe()
    try:
        simulator = subprocess.Popen(command, stdin=reading, stdout=subprocess.PIPE, start_new_session=True)  # noqa: S603 - our own
    except OSError as error:
        raise Failure(f"the simulator does not start: {error}") from None
    finally:
        os.close(reading)
    assert simulator.stdout is not None, "it was asked for"
    try:
        ports = msgspec.json.decode(_line(simulator.stdout), type=Ready).ports
        ports["flaky"], ports["steady"]
    except (msgspec.DecodeError, KeyError, TimeoutError):
        os.close(writing)
        simulator.kill()
        simulator.wait()
        raise Failure("the simulator does not start: it did not say its ports") from None
    finally:
        simulator.stdout.close()
    os.set_inheritable(writing, True)
    simulator.returncode = 0  # from here on it is the gateway's child, which never waits for it
    return ports


def _line(stdout: IO[bytes]) -> bytes:
    """Wait for the first line. Raises TimeoutError."""
    deadline = time.monotonic() + READY_WITHIN_S
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError
        part = os.read(stdout.fileno(), 4096)
        if not part:
            return line
        line += part
    return line


def _check_free(hosts: Sequence[str], port: int) -> None:
    """Raises Failure if something listens there. The gateway, which binds the address, reports all other problems."""
    for host in hosts:
        with contextlib.suppress(OSError):
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                with socket.socket(family, kind, protocol) as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    if _is_taken(probe, address):
                        advice = "is another oxllm running (`oxllm status`)? Else give another --port"
                        raise Failure(f"port {port} is taken; {advice}")


def _is_taken(probe: socket.socket, address: Any) -> bool:
    try:
        probe.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def free_port(wanted: int) -> int:
    """`wanted` if nothing listens there, else one that the system picks."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Failure("no port is free on 127.0.0.1")
