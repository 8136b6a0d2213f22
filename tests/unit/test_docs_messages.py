"""docs/failures.md and docs/agents.md say of the Messages API what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oxllm.config.compile import load
from oxllm.core.protocols.messages import PROTOCOL, StreamReader
from oxllm.core.wire.errors import api_error
from oxllm.core.wire.named_events import LARGE
from tests.support.told import PING, THINKING, TOOL, block, delta, named, reason, start, stop, text
from tests.unit.test_docs import PAGE, ROOT, WORDS, code, table

SECTION = " ".join(PAGE.split("### Messages\n", 1)[1].split("\n### ", 1)[0].split())
AGENTS = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
BEGUN = (start(), block())
EXAMPLES: dict[str, list[object]] = {
    "`message_start`": [start()],
    "another `message_start` with the same id": [start()],
    "a `message_start` with another id": [start("msg_2")],
    "`content_block_start` of an empty text": [block(1)],
    "`content_block_start` of thinking or of a compaction": [
        block(1, **THINKING),
        block(1, type="compaction", content=None),
    ],
    "`content_block_start` with a tool's name, a text, a server tool's result, a seal": [
        block(1, **TOOL),
        block(1, type="text", text="Hi"),
        block(1, type="web_search_tool_result", content=[{}]),
        block(1, type="redacted_thinking", data="x"),
    ],
    "`content_block_delta` that bears something: text, thinking, a signature, a tool's input, a citation": [
        text("Hi"),
        delta(type="thinking_delta", thinking="hm"),
        delta(type="signature_delta", signature="x"),
        delta(type="input_json_delta", partial_json="{"),
        delta(type="citations_delta", citation={"type": "x"}),
    ],
    "`content_block_delta` that is empty": [text("")],
    "`content_block_stop`": [stop()],
    "`message_delta` with a `stop_reason`": [reason()],
    "`message_stop`": [{"type": "message_stop"}],
    "`ping`": [PING],
    "`error`": [{"type": "error", "error": {"type": "overloaded_error"}}],
    "any type that is not known": [{"type": "news"}],
}
ROWS = {row["event"]: row["read as"] for row in table("Messages")}


def test_every_row_has_its_examples() -> None:
    assert list(ROWS) == list(EXAMPLES)


@pytest.mark.parametrize(("row", "event"), [(row, event) for row, events in EXAMPLES.items() for event in events])
def test_an_event_is_read_as_the_page_says(row: str, event: object) -> None:
    reader = StreamReader(0.0)
    reader.feed(named(*(() if row == "`message_start`" else BEGUN), event))
    said = ROWS[row]
    assert (reader.content > 0) == said.startswith("content")
    assert (reader.failure is not None) == ("it failed" in said or "a break" in said)
    assert reader.working == ("but work" in said)


@pytest.mark.parametrize("row", table("Refusals of the Messages API"), ids=lambda row: row["elsewhere"])
def test_a_refusal_is_what_the_page_says(row: dict[str, str]) -> None:
    status, hopeless = int(row["elsewhere"][:3]), "x-should-retry" in row["elsewhere"]
    said = PROTOCOL.refusal(api_error(status, "no", should_retry=False if hopeless else None))
    assert (said.status, said.type) == (int(row["here"]), code(row["type"]))


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    assert f"a large event is passed on as it comes, past {LARGE // 1024} KiB" in WORDS
    assert "`answer` is the limit instead of `first_byte`" in SECTION


CONFIGS = [block for block in re.findall(r"```toml\n(.*?)```", AGENTS, re.DOTALL) if "[[providers]]" in block]


@pytest.mark.parametrize("text", CONFIGS, ids=lambda text: text.split("name = ")[1].split("\n")[0])
def test_a_config_for_an_agent_is_one(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    env = dict.fromkeys(re.findall(r"\$\{(\w+)\}", text), "sk-x")
    assert load(str(file), env).errors == ()


def test_each_agent_has_its_lines() -> None:
    assert re.findall(r"^## (.*)$", AGENTS, re.MULTILINE) == [
        "Claude Code",
        "Codex",
        "opencode",
        "qwen-code",
        "Cline",
        "aider",
        "Continue",
        "Zed",
        "What those that speak chat do with a failure",
    ]
