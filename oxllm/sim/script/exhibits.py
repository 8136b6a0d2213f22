"""Real incidents, each naming its source. `alpha` has the incident, `steady` is there to be fallen back on."""

from __future__ import annotations

import msgspec

from oxllm.sim.script import scenes
from oxllm.sim.script.scenario import Scenario


class Exhibit(msgspec.Struct, frozen=True):
    """What happened, where it is told, and the faults that do it again."""

    story: str
    source: str
    dialect: str
    faults: tuple[str, ...]


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
}


def scenario(name: str, seed: int) -> Scenario:
    """The scenario of an exhibit, which is one of EXHIBITS."""
    exhibit = EXHIBITS[name]
    faults = ", ".join(f'"{fault}"' for fault in exhibit.faults)
    return scenes.load(
        f'[upstream.alpha]\ndialect = "{exhibit.dialect}"\n[upstream.steady]\n'
        f'[[scene]]\nname = "{name}"\non = "alpha"\nfaults = [{faults}]\n',
        seed,
    )
