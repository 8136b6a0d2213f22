"""Worlds in which each provider's answers can be foretold: a fate that depends on chance alone depends on the seed and
the question, not on who else asks what.

    answers(world, name, visit)   the provider would give the whole answer to this visit, asked once

That tells what clients of a single provider would have got, and clients that try all of them in some order.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from oxllm import plan as plans
from oxllm.sim.faults.base import Layer
from oxllm.sim.provider.ledger import Harm
from oxllm.sim.provider.request import fingerprint
from oxllm.sim.script.fate import Judge
from oxllm.sim.serve.engine import attempt_key
from tests.property.worlds import EARLY, FAST
from tests.support.in_memory import Setup, Visit, Wish, World
from tests.support.said import parse

SLOW = ("stall@headers", "blackhole")
QUICK = tuple(
    kind
    for kind in EARLY
    if parse(kind).fault.strikes_at() is Layer.RESPONSE and kind not in (*SLOW, "short-body", "cut@byte:40")
)
"""Faults that strike a request, without delay, and a stream before its content."""
SPAN_S = 40.0


def chaos(seed: int, names: int, shares: Sequence[int], kinds: Sequence[str] = QUICK) -> Setup:
    """`names` providers, a tier each. Each has one of `kinds`, in one of `shares` per cent of its requests."""
    chance = random.Random(seed)
    providers = [
        plans.Provider(f"p{n}", False, "127.0.0.1", 9001 + n, "/v1", f"sk-p{n}", models=("big-1",))
        for n in range(names)
    ]
    targets = [plans.Target(one.name, "big-1", tier, 1, FAST) for tier, one in enumerate(providers, 1)]
    model = plans.VirtualModel("smart", tuple(targets), request=40.0)
    retry = plans.Retry(chance.randint(0, 1), 6, 0.2)
    plan = plans.Plan(plans.Server(), retry=retry, providers=tuple(providers), virtual_models=(model,))
    return Setup(plan, {one.name: [f"{chance.choice(kinds)} {chance.choice(shares)}%"] for one in providers}, seed=seed)


def played(setup: Setup, clients: int = 60) -> World:
    """The world after patient clients have each asked once, for streams, plain answers and vectors."""
    chance = random.Random(setup.seed)
    with World(setup) as world:
        for _ in range(clients):
            wish = Wish(round(chance.uniform(0, SPAN_S), 2), chance.random() < 0.6, tokens=chance.randint(1, 12))
            world.ask(wish, embeddings=not wish.stream and chance.random() < 0.3)
        world.run().sleep(3.0)
    assert not world.errors, world.errors
    return world


def answers(world: World, name: str, visit: Visit) -> bool:
    """Whether the provider, asked for the first time, gives its whole answer in its usual time."""
    provider = world.providers[name]
    content = visit.name if visit.wish.embeddings else visit.messages
    judge = Judge(provider.seed, name, world.scenario.scenes)
    fault = judge.request(attempt_key(fingerprint(content), 1), 1, visit.began - world.start).fault
    if fault is None or fault.harm is Harm.NONE or (fault.streams_only and not visit.wish.stream):
        return True
    return bool(fault.protocols) and ("embeddings" if visit.wish.embeddings else "chat") not in fault.protocols
