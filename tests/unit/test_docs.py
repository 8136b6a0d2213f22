"""docs/failures.md says what the code does: its tables row by row, its figures word by word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oxllm import plan
from oxllm.config.schema import parse_hold_back
from oxllm.core.protocols import large_event
from oxllm.core.reading import hints
from oxllm.core.reading.outcome import RULES, Effect, Failure, Kind
from oxllm.core.reading.table import SHORT_S
from oxllm.core.request import attempt, refusal, reply
from oxllm.core.routing import breaker, cooldown, route, targets
from oxllm.core.routing.cooldown import LASTS, Skip
from oxllm.core.wire import sse
from oxllm.core.wire.errors import TYPE_BY_STATUS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def table(heading: str) -> list[dict[str, str]]:
    """The first table under a heading, a dict a row."""
    section = re.split(r"^##+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [line.strip().strip("|") for line in section.splitlines() if line.startswith("|")]
    head, _, *rows = ([cell.strip() for cell in line.split("|")] for line in lines)
    return [dict(zip(head, row, strict=True)) for row in rows]


def code(cell: str) -> str:
    return cell.strip("`")


def minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"


FAILURES = {code(row["what happened"]): row for row in table("What a provider does")}
EFFECTS = {
    Effect.NONE: "\N{EN DASH}",
    Effect.HINT: "with `Retry-After`, the target: as long as it says",
    Effect.RATE: "the target: its hint, else "
    f"{cooldown.RATE_FIRST:g} s, doubled each time, at most {cooldown.RATE_MAX:g} s",
    Effect.QUOTA: f"every target of the provider: {minutes(LASTS[Skip.QUOTA])}",
    Effect.AUTH: f"every target of the provider: {minutes(LASTS[Skip.AUTH])}",
    Effect.FORBIDDEN: f"the target, from the second 403 in a row: {minutes(LASTS[Skip.AUTH])}",
    Effect.MISSING: f"the target: {minutes(LASTS[Skip.MISSING])}",
    Effect.NOT_FOUND: f"the target, from the second such 404 in a row: {minutes(LASTS[Skip.MISSING])}",
    Effect.LOADING: "the target: its hint, else "
    f"{cooldown.RATE_FIRST:g} s, doubled each time, at most {cooldown.RATE_MAX:g} s",
}


def test_every_kind_of_outcome_has_its_row() -> None:
    assert set(FAILURES) == {kind.value for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
def test_a_row_says_what_the_rule_does(kind: Kind) -> None:
    row, rule = FAILURES[kind.value], RULES[kind]
    assert row["another target"] == ("yes" if rule.failover else "no")
    assert row["counts for the breaker"] == ("yes" if rule.breaker else "no")
    if kind is not Kind.SUCCESS:
        assert row["what is not asked, and how long"].startswith(EFFECTS[rule.effect])


def test_the_second_403_is_the_one_too_many() -> None:
    assert cooldown.REFUSALS_MAX == 1


def test_every_failure_of_the_network_is_told() -> None:
    told = FAILURES["network"]["what the provider did"]
    for failure in [failure for failure in Failure if failure not in (Failure.WITHHELD, Failure.LOCAL)]:
        assert failure.value.removeprefix("connection ") in told


def test_every_word_of_status_is_explained() -> None:
    states = [code(row["state"]) for row in table("What status says")]
    assert sorted(states) == sorted(["ready", *(skip.value for skip in Skip)])


def test_the_statuses_of_the_end_have_their_types() -> None:
    rows = {int(row["status"]): row for row in table("When nothing is left")}
    assert list(rows) == [429, 504, 400, 502, 503], "the order in which they are decided"
    for status, row in rows.items():
        if status != 400:
            assert code(row["type"]) == TYPE_BY_STATUS[status]


@pytest.mark.parametrize(
    "words",
    [
        f"A hint above {hints.HINT_MAX / 3600:g} h counts as {hints.HINT_MAX / 3600:g} h",
        f"if that is at most {hints.PREDICTIVE_MAX:g} s away",
        f"nobody waits longer than {hints.REFILL_MAX:g} s",
        f"a 402 with a hint of at most {SHORT_S / 3600:g} h",
        f"After {plan.Breaker().failures} failures in a row it opens for {plan.Breaker().cooldown:g} s",
        f"at most {plan.Breaker().cooldown_max:g} s (±{breaker.JITTER:.0%}".replace("%", " %)"),
        f"after {targets.PATIENCE_S:g} s without content the next target",
        f"{breaker.FORGET_S:g} s without a failure",
        f"rounded up to whole seconds and at most {refusal.RETRY_AFTER_MAX}",
        f"If nothing can recover within {route.REACH_S:g} s",
        f"After {reply.PING_S:g} s without content, and every {reply.PING_S:g} s, a comment (`: ping`)",
        f"is left after {attempt.LINGER_S:g} s",
        f"an event over {sse.EVENT_MAX / 2**20:g} MiB",
        f"an event of more than {large_event.LARGE / 1024:g} KiB is passed on as it comes",
        "has one more chance first" if plan.Retry().same_target == 1 else "has more chances",
        f"`out of quota` above | after {minutes(LASTS[Skip.QUOTA])}",
        f"`forbidden` above | after {minutes(LASTS[Skip.AUTH])}",
        f"`missing` above | after {minutes(LASTS[Skip.MISSING])}",
    ],
)
def test_a_figure_is_the_codes(words: str) -> None:
    assert words in WORDS


def test_the_price_of_each_hold_back_follows_from_its_form() -> None:
    rows = {code(row["`hold_back`"]).strip('"'): row for row in table("Buying safety with first-token time")}
    gap_ms = 18
    for form, row in rows.items():
        hold = parse_hold_back(form)
        cost = hold.seconds * 1000 if hold.seconds else (hold.tokens - 1) * gap_ms
        shown = f"200 tokens: {200 * gap_ms / 1000:g} s" if hold.full else f"{cost:g} ms"
        assert row[f"at {gap_ms} ms a token"] == shown
    assert [parse_hold_back(form).full for form in rows] == [False, False, False, True]


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
        for anchor in re.findall(r"\]\(#([^)]+)\)", text):
            heads = [
                re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-")
                for head in re.findall(r"^#+ (.+)$", text, re.M)
            ]
            assert anchor in heads, f"{page.name} -> #{anchor}"
