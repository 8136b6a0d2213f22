"""Real incidents, each with its source. `alpha` has the incident, `steady` is there to fail over to.

Some are a recurring fault, for as long as one likes. Others are outages to scale: their phases have the relative
lengths and shares of the provider's own write-up, compressed to the length of the run. Single faults are not
compressed: a stall of 30 s takes 30 s.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from oxllm.sim.provider.pace import Pace
from oxllm.sim.provider.upstream import Upstream
from oxllm.sim.script import grammar
from oxllm.sim.script.scenario import ALWAYS, Scenario, Scene, When

PLAYED_S = 120.0
"""Default length of an outage to scale."""


class Phase(msgspec.Struct, frozen=True):
    """The faults of an outage between two times, in minutes from its start."""

    start: float
    end: float
    faults: tuple[str, ...]


class Exhibit(msgspec.Struct, frozen=True):
    """What happened, the source, and the faults that reproduce it: all the time, or in `phases`."""

    story: str
    source: str
    dialect: str
    faults: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    minutes: float = 0.0
    """Length of an outage, including some calm after it."""

    @property
    def told(self) -> Sequence[str]:
        """Its faults in words, with their times if it has phases."""
        if not self.phases:
            return self.faults
        return [f"{phase.start:g}..{phase.end:g} min: {', '.join(phase.faults)}" for phase in self.phases]


EXHIBITS = {
    "azure-86400": Exhibit(
        "A 429 asks for a wait of a day. A gateway that believes it has lost the deployment until tomorrow.",
        "Azure OpenAI: 'Please retry after 86400 seconds', github.com/jasonacox/TinyLLM/issues/17",
        "azure",
        ("retry-after~86400 x3",),
    ),
    "ollama-vanishing-error": Exhibit(
        "Generation fails half-way; the error becomes an empty event and the stream ends in order.",
        "Ollama: openai/openai.go, errors inside a /v1 stream",
        "ollama",
        ("empty-error@token:8 30%",),
    ),
    "openrouter-empty-200": Exhibit(
        "A stream of nothing but comments and a role, with status 200.",
        "OpenRouter: 'No content generated', openrouter.ai/docs on errors; github.com/cline/cline/pull/5432",
        "openrouter",
        ("role-only 30%", "empty 10%"),
    ),
    "cloudflare-520": Exhibit(
        "The edge in front of the provider answers in HTML with a status of its own.",
        "Cloudflare: Error 520, developers.cloudflare.com/support",
        "openai",
        ("502-html~520 40%",),
    ),
    "held-open-no-done": Exhibit(
        "The answer is whole, `[DONE]` never comes and the connection stays open: clients wait for ever.",
        "vllm-mlx: github.com/waybarrios/vllm-mlx/issues/101",
        "openai",
        ("hold-open 50%",),
    ),
    "error-then-done": Exhibit(
        "An error inside the stream, then `[DONE]` as if all were well.",
        "vLLM: entrypoints/openai/serving_chat.py, an exception while streaming",
        "vllm",
        ("error-event@token:6 30%",),
    ),
    "anthropic-529": Exhibit(
        "Overload for everyone: half of the requests get a 529.",
        "Anthropic: docs.anthropic.com, errors, 529 overloaded_error",
        "anthropic",
        ("529 50%",),
    ),
    "groq-498": Exhibit(
        "The flex tier is full, which is told with a status that no standard knows.",
        "Groq: console.groq.com/docs/flex-processing, 498 capacity_exceeded",
        "groq",
        ("529 50%",),
    ),
    "quota-as-429": Exhibit(
        "The credit is used up, which is told as a rate limit: retrying is of no use.",
        "OpenAI: platform.openai.com/docs/guides/error-codes, insufficient_quota",
        "openai",
        ("429-quota",),
    ),
    "silent-cut": Exhibit(
        "A stream stops early and ends its chunks correctly: a clean 200 to every HTTP client.",
        "vLLM: no finish_reason and no [DONE], github.com/vllm-project/vllm/issues/52852",
        "openai",
        ("silent-cut@token:12 30%",),
    ),
    "openai-2025-06-10": Exhibit(
        "An update of the operating system cut GPU servers off the network: 5 % of API requests failed, then 25 % for "
        "six hours, then fewer and fewer for as long again.",
        "OpenAI: write-up of 10 June 2025, status.openai.com/incidents/01JXCAW3K3JAE0EP56AEZ7CBG3/write-up",
        "openai",
        phases=(
            Phase(0, 144, ("500 3%", "503 2%")),
            Phase(144, 504, ("500 12%", "503 8%", "slow~4s 10%", "stall@token:5~30s 5%")),
            Phase(504, 604, ("500 6%", "503 4%", "slow~2s 5%")),
            Phase(604, 774, ("500 2%",)),
        ),
        minutes=924,
    ),
    "openai-2024-08-16": Exhibit(
        "The ingress lost its connections twice, for 44 and for 15 minutes; services that started again overwhelmed "
        "the store behind them.",
        "OpenAI: write-up of 16 August 2024, status.openai.com/incidents/s9d5cv5jcy7x",
        "openai",
        phases=(
            Phase(10, 14, ("refuse",)),
            Phase(14, 54, ("502-html 35%", "503 25%", "rst 5%", "slow~5s 15%")),
            Phase(93, 95, ("refuse",)),
            Phase(95, 108, ("502-html 25%", "503 20%", "slow~5s 15%")),
        ),
        minutes=128,
    ),
    "openai-2024-12-04": Exhibit(
        "Four minutes in which the load balancer answered nothing but 530; later a cache of names was lost, and for an "
        "hour and a half nearly half of the requests stood still for 30 seconds.",
        "OpenAI: write-up of 4 December 2024, status.openai.com/incidents/55qs3vq1m35z",
        "openai",
        phases=(
            Phase(10, 14, ("502-html~530",)),
            Phase(29, 119, ("stall@connect~30s 45%",)),
        ),
        minutes=130,
    ),
    "anthropic-529-storm": Exhibit(
        "An hour and a half of `overloaded_error`, which clients that try again at once keep alive.",
        "Claude API, 15 May 2026, archlab.space/blogs/26c588e1-d36b-4b3f-bace-ddf89c13ce19",
        "anthropic-messages",
        phases=(
            Phase(5, 53, ("529 80%", "preamble-error 5%")),
            Phase(53, 73, ("529 40%", "preamble-error 5%")),
            Phase(73, 93, ("529 10%",)),
        ),
        minutes=108,
    ),
    "hour-of-401": Exhibit(
        "For an hour every request is a 401: the key was revoked, or has expired, and nobody has noticed.",
        "docs.aurous-labs.com/api-reference/errors/chat_provider_auth_failed",
        "openai",
        phases=(Phase(5, 65, ("401",)),),
        minutes=75,
    ),
    "model-still-loading": Exhibit(
        "A model that is rarely used is loaded when it is asked for, which is told as a 429.",
        "OpenAI: 'That model is still being loaded', github.com/shreyashankar/gpt3-sandbox/issues/109",
        "openai",
        phases=(Phase(0, 4, ("429~20s",)), Phase(4, 6, ("slow~8s",))),
        minutes=12,
    ),
    "region-never-ends": Exhibit(
        "A region answers, and half of its streams stop after some words: no end, no error, no EOF.",
        "Azure OpenAI: github.com/Azure/azure-sdk-for-js/issues/26561",
        "azure",
        phases=(Phase(5, 45, ("stall@token:20 50%",)),),
        minutes=55,
    ),
}


def scenes(name: str, provider: str, seconds: float) -> tuple[Scene, ...]:
    """The scenes of an exhibit (one of EXHIBITS) at a provider. `seconds`: length of the run that an outage fills."""
    exhibit = EXHIBITS[name]
    if not exhibit.phases:
        return (Scene(name, (provider,), _dosed(exhibit.faults), ALWAYS),)
    scale = seconds / exhibit.minutes
    return tuple(
        Scene(f"{name} {number}", (provider,), _dosed(phase.faults), _when(phase, scale))
        for number, phase in enumerate(exhibit.phases, 1)
    )


def _dosed(faults: Sequence[str]) -> tuple[grammar.Dosed, ...]:
    return tuple(map(grammar.parse, faults))


def _when(phase: Phase, scale: float) -> When:
    return When(round(phase.start * scale, 2), round(phase.end * scale, 2))


def scenario(name: str, seed: int, seconds: float = PLAYED_S) -> Scenario:
    """The scenario of an exhibit (one of EXHIBITS)."""
    upstreams = (Upstream("alpha", EXHIBITS[name].dialect, pace=Pace()), Upstream("steady"))
    return Scenario(seed, upstreams, scenes(name, "alpha", seconds), name)
