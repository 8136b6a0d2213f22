"""`oxllm sim`: simulated providers that break on purpose. The command is the simulator's own."""

from oxllm.sim.cli import sim_command as command

__all__ = ["command"]
