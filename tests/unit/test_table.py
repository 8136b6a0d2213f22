"""The table of `oxllm status` and GET /status."""

from __future__ import annotations

import re
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.routing.cooldown import Skip
from oxllm.grid import BAD, CHOSEN, GOOD, OFF, WAIT
from oxllm.status import Mark, ModelStatus, ProviderStatus, Status, TargetStatus
from oxllm.table import MODELS, PROVIDERS, provider_state, table
from oxllm.words import text_width

BUSY = ProviderStatus(
    "alpha",
    in_flight=12,
    max_in_flight=200,
    attempts=123_456,
    successes=120_000,
    failures={"capacity": 3_000, "network": 400},
    ttft_p50=0.31,
    ttft_p99=4.25,
    prompt_tokens=40_000_000,
    completion_tokens=3_200_000,
    targets=2,
)
STATES = (
    ProviderStatus("open", state="open", seconds_left=3.2, targets=1),
    ProviderStatus("half", state="half-open", targets=1),
    ProviderStatus("probing", state="probing", targets=1),
    ProviderStatus("offline", state="offline", targets=1),
    ProviderStatus("for a while", state="offline", seconds_left=150, targets=1),
    ProviderStatus("auth", targets=1, marks={"m": Mark("key refused", 58.1)}),
    ProviderStatus("quota", targets=2, marks={m: Mark("out of quota", 591) for m in "ab"}),
    ProviderStatus("cooling", targets=3, marks={"a": Mark("rate-limited", 12)}),
    ProviderStatus("full", in_flight=8, max_in_flight=8, targets=1),
    ProviderStatus("fine", targets=1),
)
SMART = ModelStatus(
    "smart",
    requests=98_765,
    in_flight=12,
    rescued=3_400,
    failed=17,
    targets=(
        TargetStatus("alpha/big-1", 1, 3, "ready"),
        TargetStatus("open/big-1b", 1, 1, "breaker open", 3.2),
        TargetStatus("auth/small-1", 2, 1, "key refused", 58.1),
    ),
)
FULL = Status(
    version="0.1.0",
    pid=4711,
    uptime=7_500.0,
    listen=("http://127.0.0.1:8080", "http://[::1]:8080"),
    config="/etc/oxllm/config.toml",
    memory_bytes=19_293_798,
    connections=12,
    upstream_connections=9,
    in_flight=12,
    providers=(BUSY, *STATES),
    disabled=("spare",),
    models=(SMART, ModelStatus("nothing")),
)


def rows(text: str) -> dict[str, str]:
    return {line.split()[0]: line for line in text.splitlines() if line}


@pytest.mark.parametrize(
    ("name", "words", "mood"),
    [
        ("open", "breaker open, 4 s left", BAD),
        ("half", "half-open", WAIT),
        ("probing", "being probed", WAIT),
        ("offline", "offline", OFF),
        ("for a while", "offline, 3 min left", OFF),
        ("auth", "key refused, 59 s left", BAD),
        ("quota", "out of quota, 10 min left", BAD),
        ("cooling", "1/3 rate-limited, 12 s left", WAIT),
        ("full", "at its max_in_flight", WAIT),
        ("fine", "ok", GOOD),
    ],
)
def test_a_provider_says_how_it_is_and_for_how_long(name: str, words: str, mood: str) -> None:
    provider = next(p for p in STATES if p.name == name)
    assert provider_state(provider) == (words, mood)
    assert words in rows(table(FULL))[name.split(maxsplit=1)[0]]


def test_of_a_gateway_that_cannot_be_asked_only_what_is_known_is_said() -> None:
    status = Status("0.1.0", 42, 5.0, draining=True, drain_left=12.0, config="/c.toml", in_flight=1)
    assert table(status).splitlines() == [
        "draining, 1 request left, 12 s",
        "oxllm 0.1.0",
        "up 5 s, pid 42, config /c.toml",
        "1 in flight",
    ]


def test_a_narrow_head_leaves_out_whole_parts() -> None:
    assert table(FULL, 40).splitlines()[1:4] == [
        "oxllm 0.1.0 on http://127.0.0.1:8080",
        "up 2 h 5 min, pid 4711",
        "memory 18.4 MB, 12 in flight",
    ]
    assert table(FULL, 50).splitlines()[2] == "up 2 h 5 min, pid 4711, config /etc/../config.toml"


def test_a_row_has_load_success_first_content_and_tokens() -> None:
    line = re.split(r" {2,}", rows(table(FULL, 120))["alpha"])
    assert line == ["alpha", "ok", "12/200", "123 k", "97.2 %", "310 ms", "4.2 s", "43.2 M"]


def test_a_virtual_model_shows_its_targets_by_tier_with_weights() -> None:
    lines = table(FULL, 120).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("smart"))
    assert [re.split(r" {2,}", line.strip())[:4] for line in lines[first : first + 4]] == [
        ["smart", "1", "alpha/big-1 x3", "ready"],
        ["1", "open/big-1b", "breaker open, 4 s left"],
        ["2", "auth/small-1", "key refused, 59 s left"],
        ["nothing", "-", "none enabled", "-"],
    ]


def test_the_head_says_where_since_when_and_how_large() -> None:
    assert table(FULL).splitlines()[1:5] == [
        "oxllm 0.1.0 on http://127.0.0.1:8080, http://[::1]:8080",
        "up 2 h 5 min, pid 4711, config /etc/oxllm/config.toml",
        "memory 18.4 MB, 12 in flight, 12 client connections, 9 upstream",
        "",
    ]
    one = msgspec.structs.replace(
        FULL, draining=True, drain_left=12.0, connections=1, buffered_bytes=3 * 2**20, memory_bytes=None
    )
    first, _, _, third = table(one).splitlines()[:4]
    assert first == "draining, 12 requests left, 12 s"
    assert third.startswith("memory unknown (3.0 MB of bodies), ")
    assert "1 client connection," in third


def test_what_the_configuration_has_switched_off_is_listed_too() -> None:
    assert "disabled" in rows(table(FULL))["spare"]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_the_terminal(width: int) -> None:
    assert max(map(len, table(FULL, width).splitlines())) <= width


def test_at_80_columns_the_state_its_time_and_the_success_stay() -> None:
    text = table(FULL, 80)
    assert "1/3 rate-limited, 12 s left" in text
    assert "97.2 %" in text
    assert "TTFT" not in text
    assert "TTFT" in table(FULL, 120)


def test_at_40_columns_the_state_and_its_reason_stay() -> None:
    text = table(FULL, 40)
    assert "1/3 rate-limited, 12 s left" in text
    assert "auth/small-1  key refused, 59 s\n" in text
    assert max(map(len, text.splitlines())) <= 40


def test_columns_stand_still_from_one_page_to_the_next() -> None:
    still: dict[str, int] = {}
    first = table(FULL, 120, still=still).splitlines()
    calm = msgspec.structs.replace(FULL, providers=(msgspec.structs.replace(BUSY, attempts=1, prompt_tokens=0),))
    second = table(calm, 120, still=still).splitlines()
    assert second[5] == first[5]
    assert second[6].index("97.2") == first[6].index("97.2")


def test_who_is_chosen_stands_out() -> None:
    painted: dict[str, str] = {}
    table(FULL, None, lambda text, mood: painted.setdefault(text, mood) and text, chosen="open")
    assert painted["open"] == CHOSEN
    assert "half" not in painted


def test_long_names_give_way_in_their_middle_before_a_column_does() -> None:
    name = f"provider-{'x' * 60}-eu-west"
    long = msgspec.structs.replace(FULL, providers=(msgspec.structs.replace(BUSY, name=name),), models=())
    line = table(long, 100).splitlines()[6]
    assert re.match(r"provider-x+\.\.x*-eu-west ", line), "before a column leaves"
    assert line.endswith("43.2 M")
    assert name in table(long, None), "a pipe has as many columns as it takes"


def test_a_state_gives_way_only_after_every_name() -> None:
    names = tuple(msgspec.structs.replace(p, name=f"{p.name}-{'x' * 40}") for p in FULL.providers)
    text = table(msgspec.structs.replace(FULL, providers=names), 74)
    assert "1/3 rate-limited, 12 s left" in text
    assert max(map(len, text.splitlines())) <= 74


def test_wide_characters_keep_the_columns_straight() -> None:
    wide = msgspec.structs.replace(BUSY, name="日本語")
    lines = table(msgspec.structs.replace(FULL, providers=(wide, BUSY), models=()), 80).splitlines()[5:8]
    assert len({text_width(line) for line in lines}) == 1


def test_a_name_cannot_command_the_terminal() -> None:
    evil = msgspec.structs.replace(BUSY, name="a\u202eb\x1b[2J")
    assert "\x1b" not in table(msgspec.structs.replace(FULL, providers=(evil,)))


def test_every_reason_to_pass_a_target_over_has_its_mood() -> None:
    def mood(state: str) -> str:
        found: dict[str, str] = {}
        model = ModelStatus("m", targets=(TargetStatus("a/b", state=state),))
        status = msgspec.structs.replace(FULL, providers=(), disabled=(), models=(model,))
        table(status, None, lambda text, mood: found.setdefault(text, mood) and text)
        return found[state]

    bad = {Skip.OPEN, Skip.QUOTA, Skip.AUTH, Skip.MISSING, Skip.TRIED}
    assert {skip for skip in Skip if mood(skip.value) == BAD} == bad
    assert mood("ready") == GOOD


def test_a_model_that_nothing_serves_stands_out() -> None:
    painted: dict[str, str] = {}
    table(FULL, None, lambda text, mood: painted.setdefault(text, mood) and text)
    assert "smart" not in painted
    assert painted["nothing"] == BAD


def test_paint_changes_no_width() -> None:
    shouted = table(FULL, 100, lambda text, mood: f"\x1b[31m{text}\x1b[0m")
    assert re.sub(r"\x1b\[\d+m", "", shouted) == table(FULL, 100)


@pytest.mark.parametrize("whose", ["client", "gateway"])
def test_what_clients_and_the_gateway_did_counts_for_no_provider(whose: str) -> None:
    left = ProviderStatus("left", attempts=3, failures={whose: 3}, targets=1)
    both = ProviderStatus("both", attempts=5, successes=3, failures={whose: 1, "network": 1}, targets=1)
    before = Status("0.1.0", 1, 100.0, providers=(ProviderStatus("left", targets=1), both))
    now = msgspec.structs.replace(before, uptime=102.0, providers=(left, both))
    found = rows(table(now, 120, earlier=before))
    assert found["left"].split()[4] == "-"
    assert found["both"].split()[4:6] == ["75.0", "%"]
    assert found["left"].split()[-3:] == ["1.5", "0", "0"], "no failures a second"


LATER = msgspec.structs.replace(
    FULL,
    uptime=FULL.uptime + 2,
    requests=FULL.requests + 5,
    providers=(
        msgspec.structs.replace(
            BUSY,
            attempts=BUSY.attempts + 7,
            failures={"capacity": 3_000, "network": 403},
            completion_tokens=BUSY.completion_tokens + 2_468,
        ),
        *STATES,
    ),
    models=(SMART,),
)


def test_rates_are_those_since_the_last_look() -> None:
    text = table(LATER, 120, earlier=FULL)
    assert rows(text)["alpha"].split()[-3:] == ["3.5", "1.5", "1,234"]
    assert rows(text)["fine"].split()[-3:] == ["0", "0", "0"]
    assert rows(text)["memory"].endswith("12 in flight, 2.5 requests/s, 12 client connections, 9 upstream")
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    "other",
    [{"pid": 4712}, {"uptime": FULL.uptime - 1}, {"uptime": FULL.uptime}],
)
def test_there_are_no_rates_over_a_restart(other: dict[str, float]) -> None:
    text = table(msgspec.structs.replace(LATER, **other), 120, earlier=FULL)
    assert "requests/s" not in text
    assert "FAIL/S" not in text


def test_a_provider_that_is_new_or_began_again_has_no_rates() -> None:
    new = msgspec.structs.replace(FULL, providers=())
    assert rows(table(LATER, 120, earlier=new))["alpha"].split()[-3:] == ["-", "-", "-"]
    back = msgspec.structs.replace(LATER, providers=(ProviderStatus("alpha"),))
    assert rows(table(back, 120, earlier=FULL))["alpha"].split()[-3:] == ["-", "-", "-"]


def test_an_answer_of_another_release_is_understood() -> None:
    text = b'{"version":"9","pid":1,"uptime":1,"new":{},"providers":[{"name":"a","colour":1}],"models":[{"name":"m"}]}'
    assert "ok" in rows(table(msgspec.json.decode(text, type=Status)))["a"]


NAMES = st.text(string.ascii_letters + "-/ü日", min_size=1, max_size=60)


@given(st.lists(NAMES, max_size=12), st.integers(40, 200))
def test_with_any_names_lines_fit_and_columns_are_straight(names: list[str], width: int) -> None:
    providers = tuple(msgspec.structs.replace(BUSY, name=name, marks={"m": Mark("rate-limited", 9)}) for name in names)
    models = tuple(ModelStatus(name, targets=(TargetStatus(f"{name}/{name}"),)) for name in names)
    status = msgspec.structs.replace(FULL, providers=providers, models=models)
    lines = table(status, width).splitlines()
    assert max(map(text_width, lines)) <= width
    if names and width >= 60:  # the last column is a number's, so lines have no ragged end
        grid = lines[5 : 6 + len(names)]
        assert len({text_width(line) for line in grid}) == 1


def test_what_always_stays_fits_in_40_columns_with_the_shortest_texts() -> None:
    for columns in (PROVIDERS, MODELS):
        stay = [column for column in columns if not column.leaves]
        assert sum(max(8, len(column.title)) + 2 for column in stay) <= 40


def test_a_first_try_that_a_second_made_good_is_a_failure_all_the_same() -> None:
    provider = ProviderStatus("alpha", attempts=4, successes=3, retries=1)
    assert " 75.0 %" in table(Status("0", 1, 1.0, providers=(provider,)))
