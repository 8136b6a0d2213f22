"""`oxllm sim`: simulated providers that break on purpose. The command is defined in `oxllm.sim.cli`."""

from oxllm.sim.cli import sim_command as command

__all__ = ["command"]
