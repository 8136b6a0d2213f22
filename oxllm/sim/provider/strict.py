"""What a strict provider refuses, in the words of the real ones: no key, unknown models, values out of bounds."""

from __future__ import annotations

from oxllm.sim.provider.request import Ask, BadAsk, SimRequest
from oxllm.sim.provider.upstream import Upstream

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_KEYS = (b"authorization", b"x-api-key", b"api-key")


def check(upstream: Upstream, request: SimRequest, ask: Ask) -> None:
    """Raise BadAsk for what is refused."""
    if not any(request.get(name) for name in _KEYS):
        raise BadAsk("You didn't provide an API key.", status=401, word="auth")
    if ask.model and ask.model not in upstream.models:
        words = f"The model `{ask.model}` does not exist or you do not have access to it."
        raise BadAsk(words, "model", 404, word="missing")
    for name, (low, high) in BOUNDS.items():
        value = ask.data.get(name)
        if isinstance(value, int | float) and not low <= value <= high:
            side, bound = ("below minimum", f">= {low:g}") if value < low else ("above maximum", f"<= {high:g}")
            words = f"Invalid '{name}': decimal {side} value. Expected a value {bound}, but got {value:g} instead."
            raise BadAsk(words, name, 400, f"decimal_{side.replace(' ', '_')}_value")
