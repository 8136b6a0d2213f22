"""Which file is the configuration.

`--config`, `$OXLLM_CONFIG`, `./config.toml`, `$XDG_CONFIG_HOME/oxllm/config.toml`, in this order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


class NoConfigError(LookupError):
    """There is no configuration file. The message says where one was looked for."""


def locate(given: str | None, env: Mapping[str, str]) -> str:
    """The path of the file. One that is given, here or in the environment, must exist; raises NoConfigError."""
    for source, path in (("--config", given), ("OXLLM_CONFIG", env.get("OXLLM_CONFIG"))):
        if path:
            return _existing(path, source)
    home = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".config")
    candidates = ("config.toml", os.path.join(home, "oxllm", "config.toml"))
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise NoConfigError(
        f"there is no configuration: looked for ./{candidates[0]} and {candidates[1]}; "
        "write one with `oxllm init`, or try `oxllm serve --demo`"
    )


def _existing(path: str, source: str) -> str:
    if os.path.isdir(path):
        raise NoConfigError(f"{path} (from {source}) is a directory, not a configuration file")
    if not os.path.exists(path):
        raise NoConfigError(f"{path} (from {source}) does not exist")
    return path
