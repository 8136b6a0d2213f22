"""What a strict provider refuses, worded as real ones do: no key, unknown models, values out of bounds."""

from __future__ import annotations

from math import inf

from oxllm.sim.provider.request import Ask, BadAsk, SimRequest
from oxllm.sim.provider.upstream import Upstream

DECIMALS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
INTEGERS: dict[str, tuple[float, float]] = {
    "n": (1, 128),
    "max_tokens": (1, inf),
    "max_completion_tokens": (1, inf),
    "max_output_tokens": (16, inf),
    "top_logprobs": (0, 20),
}
_KEYS = (b"authorization", b"x-api-key", b"api-key")


def check(upstream: Upstream, request: SimRequest, ask: Ask) -> None:
    """Raise BadAsk for a request to refuse."""
    if not any(request.get(name) for name in _KEYS):
        raise BadAsk("You didn't provide an API key.", status=401, word="auth")
    if ask.model and ask.model not in upstream.models:
        words = f"The model `{ask.model}` does not exist or you do not have access to it."
        raise BadAsk(words, "model", 404, word="missing")
    for word, bounds in (("decimal", DECIMALS), ("integer", INTEGERS)):
        for name, (low, high) in bounds.items():
            _check_bounds(ask.data.get(name), name, word, low, high)


def _check_bounds(value: object, name: str, word: str, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or low <= value <= high:
        return
    side, short, bound = (
        ("below minimum", "below_min", f">= {low:g}") if value < low else ("above maximum", "above_max", f"<= {high:g}")
    )
    words = f"Invalid '{name}': {word} {side} value. Expected a value {bound}, but got {value:g} instead."
    raise BadAsk(words, name, 400, f"{word}_{short}_value")
