"""Planted bugs, each of which the tests named beside it must find: `python -m tests.mutants`."""
