"""Which keys of a configuration file may hold a credential, and which never do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

from oxllm.config.lines import Path

CREDENTIALS = ("admin_token", "api_key", "api_keys", "extra_body", "headers", "proxy")
SECRET_KEYS = frozenset((*CREDENTIALS, "base_url", "otel_endpoint", "auth"))
"""Keys whose bad values no message repeats, since they may hold credentials. An excerpt still shows the harmless rest
of a URL."""
TABLES = ("server", "timeouts", "breaker", "retry", "providers", "virtual_models")
PLAIN = frozenset(
    (
        *("host", "port", "bind_family", "otel_endpoint", "upstream_timeout_secs", "admin_allow", "admin_hosts"),
        *("health_allow", "cors_origins", "predictive_cooldown", "max_body_bytes", "max_connections"),
        *("max_in_flight", "max_buffered_bytes", "drain_timeout_secs", "drain_delay_secs"),
        *("connect", "first_byte", "answer", "idle", "request", "failures", "cooldown", "cooldown_max"),
        *("same_target", "max_attempts", "budget"),
        *("name", "enabled", "base_url", "api_key_file", "protocols", "models", "user_agent", "usage_in_stream"),
        *("ca_file", "targets", "hold_back", "hedge_after", "affinity", "content_filter_failover"),
        *("provider", "model", "tier", "weight"),
    )
)
"""Keys of the schema whose values are never secret. (`auth` is not among them: people write keys there.)"""
OF_A_MODEL = frozenset({"provider", "model", "tier", "weight", "targets", "hold_back", "hedge_after", "affinity"})
"""Those of them that occur below the name of a virtual model, which may be anything."""
KNOWN = PLAIN | SECRET_KEYS | {*TABLES}

_TELLING = re.compile(r"key|token|secret|passw|credential|cookie|authori[sz]ation", re.IGNORECASE)
"""In a key's name, a sign that it may hold a credential."""
CREDENTIAL_NAME = re.compile("|".join(CREDENTIALS))
SCALAR = re.compile(
    r"[+-]?[0-9][0-9_.:eE+-]{0,11}(?:[mk]?s|secs?|seconds|m|min|h|[kMG]i?B)?|true|false|[+-]?inf|[+-]?nan"
)
"""A number, a size, a time or a truth value, none of which is secret."""


def is_plain(path: Path) -> bool:
    """Is this a key of the schema with no secret value? A text in place of a model's targets counts as one, unless its
    name says that it belongs in another table."""
    keys = [part for part in path if isinstance(part, str)]
    if keys[:1] == ["virtual_models"]:
        if len(keys) == 2 and (keys[1] in SECRET_KEYS or is_credential(keys[1])):
            return False
        return all(key in PLAIN or key == "timeouts" for key in keys[2:])
    return len(keys) > 1 and keys[0] in TABLES and all(key in PLAIN or key == "timeouts" for key in keys[1:])


def is_credential(key: str) -> bool:
    """Might this be a credential's key, mistyped or from another program?"""
    low = key.strip("\"'").lower()
    if low in PLAIN or low in TABLES:
        return False
    alike = (SequenceMatcher(None, low, name).ratio() >= (0.7 if name == "proxy" else 0.6) for name in CREDENTIALS)
    return bool(_TELLING.search(low)) or any(alike)


def is_near(key: str, names: Iterable[str]) -> bool:
    """Is it one of these names, or a misspelling of one?"""
    return bool(get_close_matches(key.lower(), names, n=1, cutoff=0.7))
