"""Precedence of timeouts: the virtual model's, then its provider's, then the file's, then the defaults."""

from __future__ import annotations

from oxllm import plan
from oxllm.config.schema import AttemptTimeouts, Provider, Server, Timeouts, VirtualModel


class Layers:
    """The levels shared by all targets. `upstream_timeout_secs` is on the level of [timeouts], which it yields to."""

    def __init__(self, server: Server, timeouts: Timeouts) -> None:
        upstream = server.upstream_timeout_secs
        stand_in = {} if upstream is None else dict.fromkeys(("first_byte", "answer", "idle"), upstream)
        self.file = stand_in | _written(timeouts)

    def attempt(self, provider: Provider, model: VirtualModel | None = None) -> plan.Timeouts:
        """The clocks of one attempt at `provider`, for `provider/model` or for a virtual model."""
        own = _written(model.timeouts) if model else {}
        seconds = self.file | _written(provider.timeouts) | own
        return plan.Timeouts(**{key: seconds[key] for key in plan.Timeouts.__struct_fields__ if key in seconds})

    def request(self, model: VirtualModel | None = None) -> float:
        """The limit of the whole client request, in seconds."""
        own = _written(model.timeouts) if model else {}
        return (self.file | own).get("request", plan.Plan().request)


def _written(timeouts: AttemptTimeouts) -> dict[str, float]:
    """Only what the file sets; the schema's defaults are the lowest level, not part of this one."""
    return {key: getattr(timeouts, key) for key in timeouts.model_fields_set}
