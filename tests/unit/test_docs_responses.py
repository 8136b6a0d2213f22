"""docs/failures.md says of the Responses API what the code does."""

from __future__ import annotations

import re

import pytest

from oxllm.core.protocols.responses import OVERLOADED, PROTOCOL, TABLE, TOOLS, Meaning, meaning
from oxllm.core.routing.owners import OWNERS_MAX
from oxllm.core.wire.errors import OWNER_UNAVAILABLE, api_error
from oxllm.core.wire.named_events import LARGE
from tests.unit.test_docs import PAGE, WORDS, code, table

SECTION = PAGE.split("### Responses\n", 1)[1].split("\n### ", 1)[0]
READ_AS = {
    Meaning.NOTHING: "nothing yet",
    Meaning.PREAMBLE: "nothing yet; the answer's id",
    Meaning.ADDED: "nothing yet, unless its item bears content",
    Meaning.PART: "nothing yet",
    Meaning.DELTA: "content",
    Meaning.CONTENT: "content",
    Meaning.WHOLE: "the answer is whole",
    Meaning.FAILURE: "it failed",
}
ROWS = [(row["event"], row["read as"]) for row in table("Responses")]
TYPES = [(kind, said) for row, said in ROWS for kind in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize(("kind", "said"), TYPES)
def test_an_event_is_read_as_the_page_says(kind: str, said: str) -> None:
    assert said.startswith(READ_AS[meaning(kind.replace("*", "word").encode())])


def test_every_event_that_the_code_knows_is_on_the_page() -> None:
    told = {kind.encode() for kind, _ in TYPES}
    assert set(TABLE) <= told
    assert {tool + b"*" for tool in TOOLS} <= told


@pytest.mark.parametrize("row", table("Refusals of the Responses API"), ids=lambda row: row["elsewhere"])
def test_a_refusal_is_what_the_page_says(row: dict[str, str]) -> None:
    status, hopeless = int(row["elsewhere"][:3]), "x-should-retry" in row["elsewhere"]
    said = PROTOCOL.refusal(api_error(status, "no", "its own", should_retry=False if hopeless else None))
    assert said.status == int(row["here"])
    assert said.code == ("its own" if row["code"] == "as elsewhere" else code(row["code"]))
    assert (row["`Retry-After`"], said.retry_after) == ("always", 1)


def test_the_figures_and_codes_of_the_page_are_those_of_the_code() -> None:
    assert f"the last {OWNERS_MAX:,} are remembered" in WORDS
    assert f"past {LARGE // 1024} KiB it is passed on as it comes" in WORDS
    assert f"`{OWNER_UNAVAILABLE}`" in SECTION
    assert f"`{OVERLOADED}`" in SECTION
