"""A Status as text for a person: how the gateway is, and why, in the width there is.

Drawn by the gateway for `curl …/status` and by `oxllm status`, which knows its terminal's width, has colours, and can
show rates since its last look. What does not fit is left out in this order: whole columns, the least telling first,
then the middle of long names. Plain ASCII, except for the names themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

from oxllm.grid import BAD, CHOSEN, GOOD, LEFT, OFF, TEXT_FAIR, WAIT, Column, Paint, Row, Still, grid, plain, shortened
from oxllm.status import ModelStatus, ProviderStatus, Status
from oxllm.verdict import verdict
from oxllm.words import compact, count, duration, printable, remaining, seconds, text_width

WIDTH = 100
"""Characters per line if the width is not known."""
_LEVELS = (GOOD, WAIT, BAD)
"""The moods of a verdict's levels."""
_BREAKER = {
    "open": ("breaker open", BAD),
    "half-open": ("half-open", WAIT),
    "probing": ("being probed", WAIT),
    "offline": ("offline", OFF),
}
_MOODS = {
    "ready": GOOD,
    "offline": OFF,
    "rate-limited": WAIT,
    "asked us to wait": WAIT,
    "being probed": WAIT,
    "at its max_in_flight": WAIT,
}
"""A target's state -> its mood; any other is BAD."""


PROVIDERS = (
    Column("PROVIDER", number=False),
    Column("STATE", number=False, firm=True),
    Column("IN FLIGHT", leaves=3),
    Column("ATTEMPTS", leaves=5),
    Column("OK", leaves=1),
    Column("TTFT p50", leaves=6),
    Column("p99", leaves=7),
    Column("TOKENS", leaves=4),
)
MODELS = (
    Column("MODEL", number=False),
    Column("TIER", leaves=1),
    Column("TARGET", number=False),
    Column("STATE", number=False, firm=True),
    Column("IN FLIGHT", leaves=5),
    Column("REQUESTS", leaves=4),
    Column("RESCUED", leaves=3),
    Column("FAILED", leaves=2),
)
RATES = (Column("ATT/S", leaves=4), Column("FAIL/S", leaves=2), Column("TOK/S", leaves=5))
"""Further columns of PROVIDERS, if an earlier Status is known."""


def table(
    status: Status,
    width: int | None = WIDTH,
    paint: Paint = plain,
    earlier: Status | None = None,
    still: Still | None = None,
    chosen: str | None = None,
    whole: Status | None = None,
) -> str:
    """The whole text. `width` None: as wide as it gets; `earlier`: show rates since then.

    `still`: how wide the columns have been, so that they do not jump from one refresh to the next. `chosen`: a
    provider's name to highlight. `whole`: what the verdict is about, if `status` has only the rows that there is room
    for.
    """
    elapsed = _elapsed(status, earlier)
    rates = None if elapsed is None or earlier is None else (earlier, elapsed)
    lines = [_verdict(whole or status, width, paint), *_head(status, width, rates)]
    if status.providers or status.disabled:
        columns, rows = _providers(status, rates, chosen, with_rates=still is not None or rates is not None)
        lines += ["", *grid(columns, rows, width, paint, still)]
    if status.models:
        rows = [row for model in status.models for row in _model_rows(model)]
        lines += ["", *grid(MODELS, rows, width, paint, still)]
    return "".join(f"{line}\n" for line in lines)


def _elapsed(status: Status, earlier: Status | None) -> float | None:
    """Seconds between the two; None if they are from different processes, or no time has passed."""
    if earlier is None or earlier.pid != status.pid or earlier.uptime >= status.uptime:
        return None
    return status.uptime - earlier.uptime


Rates = tuple[Status, float] | None
"""An earlier Status of the same process, and the seconds since then."""


def _verdict(status: Status, width: int | None, paint: Paint) -> str:
    said = verdict(status)
    return paint(shortened(said.line(width), width), _LEVELS[said.level])


def _head(status: Status, width: int | None, rates: Rates) -> list[str]:
    memory = f"{status.memory_bytes / 2**20:.1f} MB" if status.memory_bytes else "unknown"
    bodies = f" ({status.buffered_bytes / 2**20:.1f} MB of bodies)" if status.buffered_bytes >= 2**19 else ""
    asked = bool(status.listen)  # if not, it is draining, and this comes from its run file
    load = [f"memory {memory}{bodies}", f"{status.in_flight} in flight"][not asked :]
    if rates is not None:
        load.append(f"{_rate(status.requests, rates[0].requests, rates[1])} requests/s")
    if asked:
        load += [count(status.connections, "client connection"), f"{status.upstream_connections} upstream"]
    first, *others = status.listen or ("",)
    return [
        _parts([f"oxllm {status.version}{f' on {first}' if first else ''}", *others], width),
        _parts([f"up {duration(status.uptime)}", f"pid {status.pid}", f"config {status.config or 'built in'}"], width),
        _parts(load, width),
    ]


def _parts(parts: Sequence[str], width: int | None) -> str:
    """As many parts as fit; the first that does not is shortened, if that leaves something to read."""
    line = printable(parts[0])
    for part in map(printable, parts[1:]):
        room = None if width is None else width - text_width(line) - len(", ")
        if room is not None and room < min(text_width(part), TEXT_FAIR):
            break
        line += f", {shortened(part, room)}"
    return shortened(line, width)


def _rate(now: int, before: int, elapsed: float) -> str:
    """Per second; `-` if the counter went back (the provider was removed and added again)."""
    if now < before:
        return "-"
    rate = (now - before) / elapsed
    return compact(round(rate)) if rate >= 9.95 or now == before else f"{rate:.1f}"


# Providers.


def _providers(
    status: Status, rates: Rates, chosen: str | None, with_rates: bool
) -> tuple[tuple[Column, ...], list[Row]]:
    before = {provider.name: provider for provider in rates[0].providers} if rates is not None else {}
    columns: tuple[Column, ...] = (*PROVIDERS, *RATES) if with_rates else PROVIDERS
    rows = []
    for provider in status.providers:
        state, mood = provider_state(provider)
        cells = _provider_cells(provider, state)
        if rates is not None:
            cells += _provider_rates(provider, before.get(provider.name), rates[1])
        elif with_rates:
            cells += ("-",) * len(RATES)
        moods = {"STATE": mood, "PROVIDER": CHOSEN} if provider.name == chosen else {"STATE": mood}
        rows.append(Row(cells, moods))
    for name in status.disabled:
        rows.append(Row((printable(name), "disabled", *[""] * (len(columns) - 2)), {"STATE": OFF}))
    return columns, rows


def _provider_cells(provider: ProviderStatus, state: str) -> tuple[str, ...]:
    ended = provider.successes + _failures(provider)
    limit = f"/{provider.max_in_flight}" if provider.max_in_flight else ""
    return (
        printable(provider.name),
        state,
        f"{provider.in_flight}{limit}",
        compact(provider.attempts),
        f"{100 * provider.successes / ended:.1f} %" if ended else "-",
        seconds(provider.ttft_p50) if provider.ttft_p50 is not None else "-",
        seconds(provider.ttft_p99) if provider.ttft_p99 is not None else "-",
        compact(_tokens(provider)),
    )


def _provider_rates(provider: ProviderStatus, before: ProviderStatus | None, elapsed: float) -> tuple[str, ...]:
    if before is None:
        return ("-", "-", "-")
    return (
        _rate(provider.attempts, before.attempts, elapsed),
        _rate(_failures(provider), _failures(before), elapsed),
        _rate(_tokens(provider), _tokens(before), elapsed),
    )


def _failures(provider: ProviderStatus) -> int:
    """The provider's failures, including those that a second try at the same target made good. Those that a client
    caused, by leaving for instance, do not count, nor do ours: too few files, a model that it does not have."""
    of_others = provider.failures.get("client", 0) + provider.failures.get("gateway", 0)
    return sum(provider.failures.values()) - of_others + provider.retries


def _tokens(provider: ProviderStatus) -> int:
    return provider.prompt_tokens + provider.completion_tokens


def provider_state(provider: ProviderStatus) -> tuple[str, str]:
    """A provider's state in words, and its mood: that of its breaker, else of its marked models, else of its load."""
    if provider.state != "closed":
        word, mood = _BREAKER.get(provider.state, (printable(provider.state), BAD))
        return _left(word, provider.seconds_left), mood
    if provider.marks:
        return _marked(provider)
    if provider.max_in_flight and provider.in_flight >= provider.max_in_flight:
        return "at its max_in_flight", WAIT
    return "ok", GOOD


def _marked(provider: ProviderStatus) -> tuple[str, str]:
    """The mark that lasts longest, and how many models are marked, if not all are."""
    longest = max(provider.marks.values(), key=lambda mark: mark.seconds_left or 0.0)
    mood = _MOODS.get(longest.state, BAD)
    text = _left(printable(longest.state), longest.seconds_left)
    if len(provider.marks) < provider.targets:
        return f"{len(provider.marks)}/{provider.targets} {text}", WAIT
    return text, mood


def _left(state: str, left: float | None) -> str:
    return f"{state}, {remaining(left)}{LEFT}" if left else state


# Virtual models.


def _model_rows(model: ModelStatus) -> list[Row]:
    rows: list[Row] = []
    name, mood = printable(model.name), {} if model.served else {"MODEL": BAD}
    counts = (str(model.in_flight), compact(model.requests), compact(model.rescued), compact(model.failed))
    for target in model.targets:
        state = _left(printable(target.state), target.seconds_left)
        weight = f" x{target.weight}" if target.weight != 1 else ""
        cells = (name, str(target.tier), printable(target.target) + weight, state, *counts)
        rows.append(Row(cells, {"STATE": _MOODS.get(target.state, BAD), **mood}))
        name, counts, mood = "", ("", "", "", ""), {}
    return rows or [Row((name, "-", "none enabled", "-", *counts), mood)]
