"""Finds the configuration file.

`--config`, `$OXLLM_CONFIG`, `./config.toml`, `$XDG_CONFIG_HOME/oxllm/config.toml`, in this order.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping


class NoConfigError(LookupError):
    """There is no configuration file. The message says where we looked."""


def locate(given: str | None, env: Mapping[str, str]) -> str:
    """The path of the file. Raises NoConfigError if there is none. One given by option or environment must exist.

    Whoever reads the file reports why it cannot be read.
    """
    if given == "":
        raise NoConfigError("--config is empty; leave it out, or name a file")
    for source, path in (("--config", given), ("OXLLM_CONFIG", env.get("OXLLM_CONFIG"))):
        if path:
            return _existing(path, source)
    home = env.get("XDG_CONFIG_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".config")
    candidates = ("config.toml", os.path.join(home, "oxllm", "config.toml"))
    for path in candidates:
        if os.path.isfile(path):
            return path
    closed = " (permission denied)" if _failure(candidates[1]) == errno.EACCES else ""
    raise NoConfigError(
        f"there is no configuration: looked for ./{candidates[0]} and {candidates[1]}{closed}; "
        "write one with `oxllm init`, or try `oxllm serve --demo`"
    )


def _existing(path: str, source: str) -> str:
    if os.path.isdir(path):
        raise NoConfigError(f"{path} (from {source}) is a directory, not a configuration file")
    if _failure(path) in (errno.ENOENT, errno.ENOTDIR):
        raise NoConfigError(f"{path} (from {source}) does not exist")
    return path


def _failure(path: str) -> int:
    """The errno of a stat, or 0 if the path exists."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno or errno.EIO
    except ValueError:  # a NUL in it
        return errno.ENOENT
    return 0
