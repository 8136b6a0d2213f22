"""`python -m oxllm.sim.demo`: two providers for the gateway's demo, `steady` and `flaky`.

`steady` is healthy; `flaky` fails the first request and four in ten of the others, before any content. Once both
listen, one line of JSON goes to standard output: `{"ports":{"steady":N,"flaky":N}}`. It ends at EOF on standard input,
so that it does not outlive the gateway that holds the pipe. It loads no web framework, since its memory adds to the
gateway's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys

import msgspec

from oxllm.sim.provider import pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import Scenario, Scene
from oxllm.sim.serve.live import Live

FIRST = "503 x1"
"""Makes the very first request show a failover: a 503 is not retried at the same provider."""
FAULTS = ("429~2s 12%", "500 10%", "cut@connect 6%", "502-html 6%", "role-only 6%")
"""Strike 40 % of the requests, all before commit."""
PACE = "ttft 250ms lognormal 0.4, itl 15ms bursty 0.6, out 20..80"


def scenario(seed: int) -> Scenario:
    """The demo's providers."""
    upstreams = tuple(Upstream(name, models=("demo-1",), pace=pace.parse(PACE)) for name in ("steady", "flaky"))
    flaky = Scene("flaky fails", ("flaky",), tuple(grammar.parse(text) for text in (FIRST, *FAULTS)))
    return Scenario(seed, upstreams, (flaky,))


async def serve(seed: int) -> None:
    """Run until standard input ends."""
    live = Live(scenario(seed))
    await live.start()
    ended = asyncio.Event()
    standard_input = sys.stdin.fileno()
    asyncio.get_running_loop().add_reader(standard_input, _read, standard_input, ended)
    line = {"ports": {name: port.number for name, port in live.ports.items()}}
    with contextlib.suppress(BrokenPipeError):  # the gateway was stopped meanwhile, and its end is that of the input
        os.write(sys.stdout.fileno(), msgspec.json.encode(line) + b"\n")
    await ended.wait()
    asyncio.get_running_loop().remove_reader(standard_input)
    await live.stop()


def _read(standard_input: int, ended: asyncio.Event) -> None:
    if not os.read(standard_input, 4096):
        ended.set()


def main() -> None:
    """`python -m oxllm.sim.demo [SEED]`; the seed is random if not given."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(10_000)
    asyncio.run(serve(seed))


if __name__ == "__main__":
    main()
