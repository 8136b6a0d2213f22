"""How another config differs from the running one, in words."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from oxllm import __version__
from oxllm import plan as plans

RESTART = ("host", "port", "bind_family")
"""Settings that only a restart changes."""
FILE = {"drain_timeout": "drain_timeout_secs", "drain_delay": "drain_delay_secs", "request": "timeouts.request"}
"""A setting's name in the Plan -> in the file, where they differ."""
PLACE = frozenset(("tls", "host", "port", "path"))
"""Fields of a provider that the file has as one setting, `base_url`."""


class Diff(msgspec.Struct, frozen=True):
    """What a reload changes, in words. Numbers appear with their values, texts by name only: they may be secret."""

    added: list[str] = []
    removed: list[str] = []
    changed: list[str] = []
    restart: list[str] = []
    """Settings that differ from what is bound, and a version that differs from ours."""

    def __str__(self) -> str:
        parts = {"added": self.added, "removed": self.removed, "changed": self.changed, "needs a restart": self.restart}
        return "; ".join(f"{kind} {', '.join(items)}" for kind, items in parts.items() if items) or "nothing changed"


def diff(old: plans.Plan, new: plans.Plan, bound: plans.Server) -> Diff:
    """How `new` differs from `old`. `bound`: the server settings that the process was started with."""
    parts = (
        _named("provider", old.providers, new.providers),
        _named("virtual model", old.virtual_models, new.virtual_models),
    )
    changed = [
        *_settings("server", old.server, new.server),
        *_settings("breaker", old.breaker, new.breaker),
        *_settings("retry", old.retry, new.retry),
        *_change("timeouts.request", old.request, new.request),
    ]
    return Diff(
        added=[name for added, _, _ in parts for name in added],
        removed=[name for _, removed, _ in parts for name in removed],
        changed=[name for _, _, names in parts for name in names] + changed,
        restart=[
            *([f"oxllm {__version__} -> {new.version}"] if new.version != __version__ else []),
            *(
                f"{key} {getattr(bound, key)} -> {getattr(new.server, key)}"
                for key in RESTART
                if getattr(bound, key) != getattr(new.server, key)
            ),
        ],
    )


Named = plans.Provider | plans.VirtualModel


def _named(kind: str, old: Iterable[Named], new: Iterable[Named]) -> tuple[list[str], list[str], list[str]]:
    """Names added, removed and changed. A disabled provider counts as absent."""
    before, after = {part.name: part for part in old}, {part.name: part for part in new}
    changed = [
        f"{kind} {name} ({', '.join(_fields(before[name], part))})"
        for name, part in after.items()
        if name in before and before[name] != part
    ]
    return (
        [f"{kind} {name}" for name in after if name not in before],
        [f"{kind} {name}" for name in before if name not in after],
        changed,
    )


def _settings(section: str, old: msgspec.Struct, new: msgspec.Struct) -> list[str]:
    """The changes in one section of the file that take effect at once."""
    skipped = (*RESTART, "listen")
    pairs = ((name, getattr(old, name), getattr(new, name)) for name in old.__struct_fields__ if name not in skipped)
    return [
        word for name, before, after in pairs for word in _change(f"{section}.{FILE.get(name, name)}", before, after)
    ]


def _fields(old: Named, new: Named) -> list[str]:
    """The settings of a provider or a virtual model that have changed."""
    words: list[str] = []
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if name == "targets":
            words += _targets(before, after)
        elif isinstance(old, plans.Provider) and name in PLACE:
            words += ["base_url"] if before != after else []
        else:
            words += _change(FILE.get(name, name), before, after)
    return list(dict.fromkeys(words))


def _targets(old: tuple[plans.Target, ...], new: tuple[plans.Target, ...]) -> list[str]:
    """Targets added, removed, and what has changed in the others."""
    before, after = ({f"{target.provider}/{target.model}": target for target in targets} for targets in (old, new))
    words = [f"+ {name}" for name in after if name not in before] + [
        f"- {name}" for name in before if name not in after
    ]
    for name, target in before.items():
        if name in after:
            for field in ("tier", "weight", "timeouts"):
                words += _change(f"{name} {field}", getattr(target, field), getattr(after[name], field))
    return words or (["targets"] if old != new else [])


def _change(name: str, old: object, new: object) -> list[str]:
    """`name old -> new` for numbers and switches, the name alone for texts; for a group, the changes of its members."""
    if old == new:
        return []
    if isinstance(old, msgspec.Struct) and isinstance(new, type(old)):
        fields = old.__struct_fields__
        return [
            word for field in fields for word in _change(f"{name}.{field}", getattr(old, field), getattr(new, field))
        ]
    if all(value is None or isinstance(value, int | float) for value in (old, new)):
        return [f"{name} {_shown(old)} -> {_shown(new)}"]
    return [name]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.12g}" if isinstance(value, float) else "none" if value is None else str(value)
